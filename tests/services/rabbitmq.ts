import { mkdir, readdir } from "node:fs/promises";
import { connect } from "node:net";
import path from "node:path";
import { installPackages } from "./install";
import { freePorts, inRun, type Run, type ServiceHandle } from "./run";

/** Installs Debian's server. */
export async function install(): Promise<void> {
  await installPackages(["rabbitmq-server"]);
}

/** Whether the server at this port opens an AMQP conversation. */
function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host: "127.0.0.1", port, timeout: 2000 });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => socket.write(Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1])));
    socket.once("data", data => end(data[0] === 1)); // a method frame: Connection.Start
    for (const event of ["error", "timeout", "close"]) socket.once(event, () => end(false));
  });
}

/** The script itself, since the one in PATH insists on the user rabbitmq. */
async function serverScript(): Promise<string> {
  const library = "/usr/lib/rabbitmq/lib";
  const version = (await readdir(library)).find(name => name.startsWith("rabbitmq_server-"));
  return path.join(library, version ?? "", "sbin/rabbitmq-server");
}

/** Starts an empty message queue with a name server (epmd) of its own; its url is oslo.messaging's transport_url. */
export function start(options: { run?: Run; persistent?: boolean } = {}): Promise<ServiceHandle> {
  return inRun(options.run, options.persistent ?? false, async run => {
    const [port = 0, distributionPort = 0, namesPort = 0] = await freePorts(3);
    const home = run.path("state/rabbitmq");
    await mkdir(home, { recursive: true });
    await run.write(
      "etc/rabbitmq.conf",
      [
        "loopback_users = none",
        "log.console = true",
        "log.file = false",
        "vm_memory_high_watermark.absolute = 512MB",
        "disk_free_limit.absolute = 100MB",
        "",
      ].join("\n"),
    );
    const environment = {
      HOME: home, // the Erlang cookie
      RUNNING_UNDER_SYSTEMD: "1", // the script then becomes the server, which so gets our signals itself
      RABBITMQ_NODENAME: "osbackup@localhost",
      RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
      RABBITMQ_NODE_PORT: String(port),
      RABBITMQ_DIST_PORT: String(distributionPort),
      RABBITMQ_MNESIA_BASE: home,
      RABBITMQ_LOG_BASE: run.path("log"),
      RABBITMQ_ENABLED_PLUGINS_FILE: run.path("etc/rabbitmq-plugins"),
      RABBITMQ_CONFIG_FILE: run.path("etc/rabbitmq"),
      RABBITMQ_PID_FILE: run.path("rabbitmq.pid"),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
        "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
      ERL_EPMD_PORT: String(namesPort),
      ERL_EPMD_ADDRESS: "127.0.0.1",
    };
    run.spawn(
      "epmd",
      { program: "epmd", args: ["-port", String(namesPort), "-address", "127.0.0.1"] },
      "base",
    );
    run.spawn("rabbitmq", { program: await serverScript(), args: [], environment }, "base");
    await run.ready("rabbitmq", 180, () => answers(port));
    return {
      url: `rabbit://guest:guest@127.0.0.1:${port}/`,
      environment: {},
      logs: [run.logPath("epmd"), run.logPath("rabbitmq")],
      stop: () => run.stopProcesses(["rabbitmq", "epmd"]),
    };
  });
}
