import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { type ConfigMap, fullKey } from "./config";
import { Display, plainOutputs } from "./display";
import { Engine, exitCodes, type RunOptions, type RunResult, readExport } from "./engine";

interface CommonOptions {
  stack: string;
  cwd?: string;
}

interface RunFlags extends CommonOptions {
  refresh?: boolean;
  expectNoChanges?: boolean;
  continueOnError?: boolean;
  json?: boolean;
  diff?: boolean;
  parallel?: number;
  yes?: boolean;
  skipPreview?: boolean;
  previewOnly?: boolean;
  clearPendingCreates?: boolean;
  policyPack?: string[];
  policyPackConfig?: string[];
  showPolicyRemediations?: boolean;
  config?: string[];
}

type Operation = "up" | "preview" | "refresh" | "destroy";

/**
 * Runs `osbackup engine <command> …` and resolves to the exit code: 0, 1 for a failure, 2 for wrong usage, 7 for changes that
 * --expect-no-changes forbids, 8 when a second ^C stopped the run at once.
 */
export async function runEngineCli(argv: string[]): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const program = new Command("osbackup engine")
    .description("runs Pulumi stacks of dynamic resources without the Pulumi CLI")
    .exitOverride()
    .configureOutput({ writeErr: text => process.stderr.write(text) });
  const finish = (code: number) => {
    exitCode = code;
  };

  const withStack = (command: Command): Command =>
    command
      .addOption(new Option("-s, --stack <name>", "the stack").env("PULUMI_STACK").default("dev"))
      .option("-C, --cwd <directory>", "run as if started in this directory");

  const withPolicies = (command: Command): Command =>
    command
      .option("--policy-pack <directories>", "policy packs that judge it; may be repeated", collectAll, [])
      .option(
        "--policy-pack-config <files>",
        "JSON files with the configuration of each policy pack, in their order",
        collectAll,
        [],
      )
      .option("--show-policy-remediations", "show each resource that a policy has mended");

  const runCommand = (name: Operation, description: string): Command =>
    withStack(program.command(name).description(description))
      .option("--expect-no-changes", "fail when there is anything to change")
      .option("--json", "print one JSON document")
      .option("--diff", "show which inputs change")
      .addOption(
        new Option("-p, --parallel <n>", "how many operations run at once; default 16")
          .env("PULUMI_PARALLEL")
          .argParser(positiveInteger),
      )
      .option("-c, --config <key=value>", "configuration for this run", collect, [])
      .action(async (flags: RunFlags) => finish(await runOperation(name, flags)));

  for (const [name, description] of [
    ["up", "make the cloud as the program says"],
    ["destroy", "delete every resource of the stack"],
    ["refresh", "read every resource and put into the state what is there"],
  ] as const) {
    const command = runCommand(name, description)
      .option("-y, --yes", "do not ask; only destroy does, on a terminal")
      .option("-f, --skip-preview", "do not plan first; this engine does so only for policy packs")
      .option("--continue-on-error", "go on with what does not depend on a failed resource")
      .option("--preview-only", "only show what would be done");
    if (name === "refresh") command.option("--clear-pending-creates", "forget creations that were cut off");
    else command.option("-r, --refresh", "read every resource first");
    if (name === "up") withPolicies(command);
  }
  withPolicies(runCommand("preview", "show what up would do")).option(
    "-r, --refresh",
    "read every resource first",
  );

  const stack = program.command("stack").description("the stack's state");
  stack
    .command("init")
    .description("begin a stack")
    .argument("<name>")
    .option("-C, --cwd <directory>", "run as if started in this directory")
    .action(async (name: string, flags: { cwd?: string }) => openEngine({ ...flags, stack: name }).begin());
  withStack(stack.command("ls").description("the project's stacks")).action((flags: CommonOptions) => {
    for (const name of openEngine(flags).stacks()) process.stdout.write(`${name}\n`);
  });
  withStack(stack.command("export").description("print the state"))
    .option("--file <path>", "write it to a file")
    .option("--show-secrets", "with secrets in the clear")
    .action(async (flags: CommonOptions & { file?: string; showSecrets?: boolean }) => {
      const file = await openEngine(flags).exportStack({ showSecrets: flags.showSecrets === true });
      const text = `${JSON.stringify(file, undefined, 4)}\n`;
      if (flags.file) (await import("node:fs")).writeFileSync(flags.file, text, { mode: 0o600 });
      else process.stdout.write(text);
    });
  withStack(stack.command("import").description("replace the state by an exported one"))
    .option("--file <path>", "read it from a file instead of standard input", "-")
    .action(async (flags: CommonOptions & { file: string }) => {
      await openEngine(flags).importStack(readExport(flags.file));
      process.stdout.write("Import complete.\n");
    });
  withStack(stack.command("output").description("print the outputs"))
    .argument("[name]", "only this one")
    .option("-j, --json", "as JSON")
    .option("--show-secrets", "with secrets in the clear")
    .action(
      async (name: string | undefined, flags: CommonOptions & { json?: boolean; showSecrets?: boolean }) => {
        const outputs = plainOutputs(await openEngine(flags).stackOutputs(), flags.showSecrets === true);
        if (name !== undefined) {
          const value = outputs[name];
          if (value === undefined)
            throw new Error(`reading the outputs: stack "${flags.stack}" has no output "${name}"`);
          process.stdout.write(
            `${flags.json || typeof value !== "string" ? JSON.stringify(value) : value}\n`,
          );
        } else if (flags.json) process.stdout.write(`${JSON.stringify(outputs, undefined, 2)}\n`);
        else
          for (const [key, value] of Object.entries(outputs))
            process.stdout.write(`${key}: ${JSON.stringify(value)}\n`);
      },
    );

  const config = program.command("config").description("the stack's configuration");
  withStack(config.command("set").description("write one value"))
    .argument("<key>")
    .argument("[value]", "asked for, or read from standard input, when it is not given")
    .option("--secret", "encrypt it")
    .option("--plaintext", "do not encrypt it")
    .action(async (key: string, value: string | undefined, flags: CommonOptions & { secret?: boolean }) => {
      const text = value ?? (await asked(key)) ?? readFileSync(0, "utf8").replace(/\r?\n$/, "");
      await openEngine(flags).setConfig(key, { value: text, secret: flags.secret === true });
    });
  withStack(config.command("get").description("print one value"))
    .argument("<key>")
    .action(async (key: string, flags: CommonOptions) => {
      const engine = openEngine(flags);
      const full = fullKey(engine.project.name, key);
      const found = (await engine.configuration())[full];
      if (!found)
        throw new Error(`reading the configuration: "${key}" is not set for stack "${flags.stack}"`);
      process.stdout.write(`${found.value}\n`);
    });
  withStack(config.command("rm").description("remove one value"))
    .argument("<key>")
    .action(async (key: string, flags: CommonOptions) => void (await openEngine(flags).removeConfig(key)));

  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : wrongUsage;
    process.stderr.write(`error: ${(error as Error).message}\n`);
    return exitCodes.failed;
  }
  return exitCode;
}

const wrongUsage = 2;

/** A value typed on a terminal, which shows none of it; undefined where there is no terminal. */
async function asked(key: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const { default: password } = await import("@inquirer/password");
  return password({ message: `${key}:`, mask: true });
}

/** A stack that is not there is begun only where the project has none: any other is a slip of the keyboard. */
function requireStack(engine: Engine, name: string): void {
  const stacks = engine.stacks();
  if (stacks.length === 0 || stacks.includes(name)) return;
  throw new Error(
    `there is no stack "${name}" in project "${engine.project.name}", which has ${stacks.join(", ")}; ` +
      `\`osbackup engine stack init ${name}\` begins it`,
  );
}

/** Whether a person at a terminal wants all of it gone. Elsewhere nobody can be asked. */
async function isWanted(engine: Engine, name: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return true;
  const { deployment } = await engine.exportStack();
  const count =
    deployment.resources?.filter(({ custom, type }) => custom && !type.startsWith("pulumi:")).length ?? 0;
  process.stdout.write(
    `This deletes the ${count} resource${count === 1 ? "" : "s"} of stack "${name}", and the recovery points of those whose deletionPolicy is "delete".\n` +
      "Which points these are: `osbackup engine stack export | osbackup plan --destroy`\n",
  );
  const { default: confirm } = await import("@inquirer/confirm");
  return confirm({ message: "Go on?", default: false });
}

const openEngine = (flags: CommonOptions): Engine =>
  new Engine({ directory: flags.cwd ?? process.cwd(), stack: flags.stack });

async function runOperation(operation: Operation, flags: RunFlags): Promise<number> {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  const display = new Display(print, {
    diff: flags.diff === true,
    json: flags.json === true,
    remediations: flags.showPolicyRemediations === true,
  });
  const cancellation = new AbortController();
  const engine = new Engine({
    directory: flags.cwd ?? process.cwd(),
    stack: flags.stack,
    config: readConfigFlags(flags.config ?? []),
    ...(flags.parallel === undefined ? {} : { parallel: flags.parallel }),
    signal: cancellation.signal,
    onEvent: event => display.show(event),
    onSecret: text => display.mask.add(text),
  });
  const dryRun = operation === "preview" || flags.previewOnly === true;
  requireStack(engine, flags.stack);
  if (operation === "destroy" && !dryRun && !flags.yes && !(await isWanted(engine, flags.stack))) {
    process.stderr.write("nothing was deleted\n");
    return exitCodes.failed;
  }
  if (!flags.json) print(`${title(operation, dryRun)} (${flags.stack}) with the embedded engine:`);

  let stopNow: (code: number) => void = () => {};
  const stopped = new Promise<number>(resolve => {
    stopNow = resolve;
  });
  const interrupt = () => {
    if (cancellation.signal.aborted) {
      void engine.kill().finally(() => stopNow(exitCodes.cancelled));
      return;
    }
    process.stderr.write("cancelling: what is running may finish; press ^C again to stop at once\n");
    cancellation.abort();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  try {
    const options: RunOptions = {
      dryRun,
      refresh: flags.refresh === true,
      expectNoChanges: flags.expectNoChanges === true,
      continueOnError: flags.continueOnError === true,
      clearPendingCreates: flags.clearPendingCreates === true,
      policyPacks: readPolicyFlags(flags.policyPack ?? [], flags.policyPackConfig ?? []),
      skipPreview: flags.skipPreview === true,
    };
    const run: Promise<RunResult> =
      operation === "preview" ? engine.preview(options) : engine[operation](options);
    const first = await Promise.race([run, stopped]);
    if (typeof first === "number") {
      await run.catch(() => {});
      return first;
    }
    display.finish(first, first.dryRun);
    return first.exitCode;
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

const title = (operation: Operation, dryRun: boolean): string => {
  if (operation === "preview" || operation === "up") return dryRun ? "Previewing update" : "Updating";
  const word = operation === "refresh" ? "Refreshing" : "Destroying";
  return dryRun ? `Previewing: ${word.toLowerCase()}` : word;
};

/** Values of a flag that takes several, by commas or by being repeated. */
const collectAll = (value: string, previous: string[]): string[] => [...previous, ...value.split(",")];

const collect = (value: string, previous: string[]): string[] => [...previous, value];

function positiveInteger(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1)
    throw new InvalidArgumentError("it must be a whole number above 0");
  return number;
}

function readConfigFlags(flags: string[]): ConfigMap {
  const config: ConfigMap = {};
  for (const flag of flags) {
    const at = flag.indexOf("=");
    if (at < 1) throw new Error(`reading --config ${flag}: it must be key=value`);
    config[flag.slice(0, at)] = { value: flag.slice(at + 1) };
  }
  return config;
}

/** Each pack with its configuration; an empty name stands for a pack without one. */
export function readPolicyFlags(
  packs: string[],
  files: string[],
): { directory: string; configFile?: string }[] {
  if (files.length > 0 && files.length !== packs.length)
    throw new Error(
      `reading --policy-pack-config: there are ${files.length} for ${packs.length} of --policy-pack; each pack takes one, an empty name between commas if it has none`,
    );
  return packs.map((directory, index) => ({
    directory,
    ...(files[index] ? { configFile: files[index] as string } : {}),
  }));
}
