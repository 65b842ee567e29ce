#!/usr/bin/env node
import { Command, InvalidArgumentError } from "commander";

/**
 * `osbackup`: what people do beside `pulumi up`. Each command loads what it needs only when it runs.
 *
 * Exit codes: 0 done; 1 failed; 2 wrong usage; `engine` has those of the Pulumi CLI.
 */
const program = new Command("osbackup")
  .description("Backups of an OpenStack cloud as desired state: what goes beside `pulumi up`.")
  .version((require("../../../package.json") as { version: string }).version)
  .configureHelp({ sortSubcommands: true })
  .exitOverride(error => process.exit(error.exitCode === 1 ? 2 : error.exitCode));

// what a command does it does to its end, although nobody reads what it says: `| head`, a log's collector that died
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });

function portNumber(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError("A port is a whole number from 0 to 65535; 0 takes a free one.");
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("A whole number from 1 on.");
}

/** Options that many commands have. */
const cloud = ["--cloud <name>", "cloud in clouds.yaml (default: OS_*)"] as const;
const json = ["--json", "one JSON document"] as const;

program
  .command("devcloud")
  .description("start a small OpenStack on this machine, with sample volumes and a server, until ^C")
  .option("--port <number>", "port on 127.0.0.1 (default: a free one)", portNumber)
  .option("--directory <path>", "keep volumes and state there (default: a temporary folder)")
  .action(async options => {
    const { runDevcloud } = await import("../../devcloud/index.js");
    await runDevcloud(options);
  });

program
  .command("engine")
  .description("run a stack without the Pulumi CLI: up, preview, refresh, destroy, stack, config")
  .helpOption(false)
  .allowUnknownOption()
  .argument("[arguments...]")
  .action(async (given: string[]) => {
    const { runEngineCli } = await import("../../engine/index.js");
    process.exitCode = await runEngineCli(given);
  });

program
  .command("list")
  .description(
    "recovery points as the cloud and the repository have them, found by their marks; needs no state",
  )
  .option("--owner <owner>", "only points of this owner, <project>/<stack>/<resource>")
  .option(
    "--repository <url>",
    "a restic repository too; RESTIC_PASSWORD, AWS_ACCESS_KEY_ID and the like open it, as for restic",
  )
  .option(...cloud)
  .option(...json)
  .action(async options => {
    const { list } = await import("./list.js");
    await list(options);
  });

program
  .command("describe")
  .description("all that is known of one recovery point, and how it is restored")
  .argument("<id>", "the point's id, or the beginning of it")
  .option("--repository <url>", "a restic repository too, as for list")
  .option(...cloud)
  .option(...json)
  .action(async (id: string, options) => {
    const { describe } = await import("./describe.js");
    await describe(id, options);
  });

program
  .command("verify")
  .description("read one point of a repository to its end, each piece against its digest; writes nothing")
  .argument("[id]", "the point's id, or the beginning of it")
  .requiredOption("--repository <url>", "the restic repository that has it, as for list")
  .option("--owner <owner>", "the newest good point of this owner, in place of an id")
  .option(...json)
  .action(async (id: string | undefined, options) => {
    const { verify } = await import("./verify.js");
    await verify(id, options);
  });

program
  .command("restore")
  .description(
    "a recovery point into a new volume, files of it into a folder, or an image into a new server; needs no state of a stack",
  )
  .argument(
    "[id]",
    "the point's id, as `osbackup list` shows it: a Cinder snapshot's, an image's, or a restic snapshot's; on a terminal it is asked for",
  )
  .option(
    "--repository <url>",
    "the restic repository that has it; RESTIC_PASSWORD, AWS_ACCESS_KEY_ID and the like open it, as for restic",
  )
  .option("--name <name>", "name of the new volume or server (default: restore- and the id)")
  .option("--size <GiB>", "its size (default: what the point needs)", wholeNumber)
  .option("--volume-type <type>", "its type (default: the source's)")
  .option("--claim <namespace/name>", "make a claim of Kubernetes for the new volume, bound to it")
  .option("--storage-class <name>", "with --claim: its storage class (default: none)")
  .option("--target <folder>", "restore files into this folder in place of a new volume")
  .option("--path <paths...>", "with --target: only these files and folders")
  .option("--server", "of a snapshot of a ServerSnapshot: a new server with all volumes of its point")
  .option("--flavor <flavor>", "flavor of the new server (default: that which the image's server had)")
  .option("--network <ids...>", "networks of the new server, or none (default: the project's only one)")
  .option("--key <name>", "key pair of the new server")
  .option("--zone <zone>", "availability zone of the new server")
  .option("--security-group <names...>", "security groups of the new server")
  .option("--floating-ip <address>", "lead this floating IP to the new server, wherever it led before")
  .option("--in-place <server>", "rebuild this server from the image: what is on its disk is lost")
  .option("--yes", "with --in-place: do not ask")
  .option(...json)
  .option(...cloud)
  .action(async (id: string | undefined, options) => {
    const { restore } = await import("./restore.js");
    await restore(id, options);
  });

program
  .command("server-backup")
  .description(
    "an image of a server now, keeping the newest of its type; needs no stack: for cron and by hand",
  )
  .argument("[type]", "daily, weekly, apt, …: each type has its own rotation", "manual")
  .argument("[rotation]", "how many images of the type stay", wholeNumber, 7)
  .option("--server <servers...>", "names or ids (default: the server that this machine is)")
  .option("--all", "all servers of the project, one after the other")
  .option("--name-prefix <prefix>", "beginning of the images' names (default: backup)")
  .option("--timeout <seconds>", "how long one image may take (default: 3600)", wholeNumber)
  .option(...cloud)
  .option(...json)
  .action(async (type: string, rotation: number, options) => {
    const { serverBackup } = await import("./server-backup.js");
    process.exitCode = await serverBackup(type, rotation, options);
  });

program
  .command("install-apt-hook")
  .description("have apt take an image of this server before it changes packages")
  .argument("[type]", "type of the images", "apt")
  .argument("[rotation]", "how many of them stay", wholeNumber, 5)
  .option("--file <path>", "the setting's file", "/etc/apt/apt.conf.d/05osbackup")
  .option("--strict", "a failed backup stops apt (default: apt goes on)")
  .option("--openrc <file>", "read this file of `export OS_…` lines first")
  .option(...cloud)
  .action(async (type: string, rotation: number, options) => {
    const { installAptHook } = await import("./apt-hook.js");
    await installAptHook({ ...options, type, rotation });
  });

program
  .command("adopt")
  .description("give a snapshot or image that was made by other means to a set, which then counts it")
  .argument("<id>", "a Cinder snapshot's or an image's")
  .requiredOption("--owner <owner>", "the set's resource, <project>/<stack>/<resource>")
  .option(...cloud)
  .option(...json)
  .action(async (id: string, options) => {
    const { adopt } = await import("./adopt.js");
    await adopt(id, options);
  });

program
  .command("schedule")
  .description("a schedule in words, and when it is due next")
  .argument("<schedule>", "cron, hourly, daily, …, or count@days@hours")
  .option("--zone <zone>", "IANA time zone", "UTC")
  .option("--count <number>", "how many runs", wholeNumber, 5)
  .option("--snapmanager", "read count@days@hours as Snapmanager does, with its copy sets and their minutes")
  .option(...json)
  .action(async (text: string, options) => {
    const { schedule } = await import("./schedule.js");
    schedule(text, options);
  });

program
  .command("convert")
  .description(
    "a file of another system into a program; says what is in it, and of a schedule file what it covers in the cloud",
  )
  .argument(
    "<file>",
    "snap_sched.yml, VolumeSnapshotBackup manifests, or crontab lines of the nova backup script",
  )
  .option("--offline", "do not look for its servers in the cloud")
  .option(...cloud)
  .option(...json)
  .action(async (file: string, options) => {
    const { convert } = await import("./convert/convert.js");
    await convert(file, options);
  });

program
  .command("init")
  .description("a folder with a stack that runs as it is")
  .argument("<folder>", "a new one")
  .option("--volume <id>", "for the backup of a volume to a restic repository")
  .option("--server <name>", "for images of a server, by name or id")
  .option("--from <file>", "from another system's file, as `osbackup convert` reads it")
  .option(...cloud)
  .action(async (folder: string, options) => {
    const { init } = await import("./init.js");
    await init(folder, options);
  });

program
  .command("plan")
  .description("what the removal of a stack, or of some of its sets, takes from the cloud and the repository")
  .argument("[names...]", "only these sets or resources")
  .requiredOption("--destroy", "plan a destroy: of what a run updates, `pulumi preview` says it")
  .option("--state <file>", "what `pulumi stack export` wrote (default: read from standard input)")
  .option(...cloud)
  .option(...json)
  .action(async (names: string[], options) => {
    const { planDestroy } = await import("./plan.js");
    await planDestroy(names, options);
  });

program
  .command("coverage")
  .description("which volumes and servers are in no set, in two, or left out, and which sets match nothing")
  .option("--state <files...>", "what `pulumi stack export` wrote, of each stack; - is standard input")
  .option("--markdown", "a table for a pull request's comment")
  .option(...cloud)
  .option(...json)
  .action(async options => {
    const { coverage } = await import("./coverage.js");
    process.exitCode = await coverage(options);
  });

program
  .command("sweep")
  .description("remove temporary volumes that no live run owns")
  .argument("<stack>", "<project>/<stack>, as in the owner mark")
  .option("--all", "those too whose time is not over: only while no run of the stack is under way")
  .option("--dry-run", "only say what would be removed")
  .option(...cloud)
  .option(...json)
  .action(async (stack: string, options) => {
    const { sweepStack } = await import("./sweep.js");
    await sweepStack(stack, options);
  });

program
  .command("doctor")
  .description("whether this machine can log in, read volumes and run restic")
  .option("--repository <url>", "whether this restic repository opens, as for list")
  .option(...cloud)
  .option(...json)
  .action(async options => {
    const { doctor } = await import("./doctor.js");
    process.exitCode = await doctor(options);
  });

/** The library that completes words in a shell is loaded for that alone. */
async function withCompletion(): Promise<Command> {
  if (process.argv[2] === "complete") (await import("@bomb.sh/tab/commander")).default(program);
  else
    program
      .command("complete")
      .description("what makes a shell complete commands and options: source <(osbackup complete bash)")
      .argument("<shell>", "bash, zsh, fish or powershell");
  return program.parseAsync();
}

withCompletion().catch((error: unknown) => {
  console.error(`osbackup: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
