import { mkdir, readFile } from "node:fs/promises";
import { get } from "node:https";
import { makeCertificates } from "./certificates";
import { installPackages } from "./install";
import { freePort, inRun, type Run, type ServiceHandle } from "./run";

/** How the server behaves. */
export interface RestOptions {
  run?: Run;
  persistent?: boolean;
  /** Refuse to delete what was stored. Default false. */
  appendOnly?: boolean;
  /** Serve HTTPS with a certificate of `caFile`. Default false. */
  tls?: boolean;
  /** Where it listens. Default 127.0.0.1. */
  address?: string;
}

/** A server of restic's REST protocol that wants a user and a password. */
export interface RestHandle extends ServiceHandle {
  user: string;
  password: string;
  /** With TLS, the authority that has signed its certificate. */
  caFile?: string;
  /** Of its process, for those that stop and continue it. */
  pid: number;
  /** Folder of the repositories. */
  dataDirectory: string;
  /** The address of a repository as restic takes it, with user and password in it. */
  repository(path: string): string;
}

/** Installs Debian's rclone. */
export async function install(): Promise<void> {
  await installPackages(["rclone"]);
}

/** The status that the server answers to its root, without checking its certificate's authority twice. */
async function statusOf(url: string, authorization: string, caFile: string | undefined): Promise<number> {
  const headers = { authorization };
  if (caFile === undefined) return (await fetch(url, { headers })).status;
  const ca = await readFile(caFile);
  return new Promise((resolve, reject) => {
    get(url, { headers, ca, agent: false }, answer => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    }).on("error", reject);
  });
}

/** Starts a server without repositories. */
export function start(options: RestOptions = {}): Promise<RestHandle> {
  return inRun(options.run, options.persistent ?? false, async run => {
    await install();
    const port = await freePort();
    const certificates = options.tls ? await makeCertificates(run, "rclone") : undefined;
    const { address = "127.0.0.1" } = options;
    const url = `${certificates ? "https" : "http"}://${address}:${port}/`;
    const dataDirectory = run.path("state/rest");
    await mkdir(dataDirectory, { recursive: true });
    const [user, password] = ["osbackup", "osbackup-secret"];
    run.spawn(
      "rclone",
      {
        program: "rclone",
        args: [
          ...["serve", "restic", "--addr", `${address}:${port}`],
          ...(options.appendOnly ? ["--append-only"] : []),
          ...(certificates ? ["--cert", certificates.certificateFile, "--key", certificates.keyFile] : []),
          dataDirectory,
        ],
        // Not in the arguments, which every user of the machine can list.
        environment: { RCLONE_USER: user, RCLONE_PASS: password, RCLONE_CONFIG: run.path("etc/rclone.conf") },
      },
      "server",
    );
    const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    // Anonymous requests are refused; a root that is no repository is a page that cannot be listed or found.
    await run.ready("rclone", 20, async () => {
      const [anonymous, known] = await Promise.all(
        ["", authorization].map(value => statusOf(url, value, certificates?.caFile)),
      );
      return anonymous === 401 && known !== 401;
    });
    return {
      url,
      environment: {},
      logs: [run.logPath("rclone")],
      stop: () => run.stopProcesses(["rclone"]),
      user,
      password,
      pid: run.processes().find(({ name }) => name === "rclone")?.pid as number,
      ...(certificates ? { caFile: certificates.caFile } : {}),
      dataDirectory,
      repository: path => `rest:${url.replace("://", `://${user}:${password}@`)}${path}/`,
    };
  });
}
