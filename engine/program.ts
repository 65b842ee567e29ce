import { type Child, startNode } from "./child";
import type { ConfigMap, Project } from "./config";
import type { Protocol } from "./protocol";

/** How a program ended. `explained`: it has already told the user why it failed. */
export interface ProgramEnd {
  ok: boolean;
  explained: boolean;
  message?: string;
}

/** The exit code by which @pulumi/pulumi's runner says that the user has been told. */
const EXPLAINED_EXIT_CODE = 32;

/**
 * Pulumi's runner has Node inspect every error in colours. Node 20 never ends with a stack line such as
 * `node_modules/@pulumi/config.ts`, which the source maps of @pulumi/pulumi bring about: it builds a string until it
 * has no room for more, for a missing configuration key half a minute long.
 */
const plainErrorsSource = `import util from "node:util";
const { inspect } = util;
util.inspect = Object.setPrototypeOf((value, options, ...rest) =>
  inspect(value, options?.colors && value instanceof Error ? { ...options, colors: false } : options, ...rest), inspect);`;
/** The argument to node that has errors inspected without colours. */
export const plainErrors = `--import=data:text/javascript,${encodeURIComponent(plainErrorsSource)}`;

/** Starts the program with @pulumi/pulumi's own runner, as the Node language host does. */
export function startProgram(options: {
  protocol: Protocol;
  project: Project;
  stack: string;
  config: ConfigMap;
  environment: NodeJS.ProcessEnv;
  /** Address of the server that speaks both ResourceMonitor and Engine. */
  address: string;
  dryRun: boolean;
  parallel: number;
  onLine(line: string, stream: "stdout" | "stderr"): void;
}): { ended: Promise<ProgramEnd>; kill(): void } {
  const { protocol, project, config } = options;
  const environment: NodeJS.ProcessEnv = {
    ...options.environment,
    PULUMI_CONFIG: JSON.stringify(
      Object.fromEntries(Object.entries(config).map(([key, { value }]) => [key, value])),
    ),
    PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(Object.keys(config).filter(key => config[key]?.secret)),
  };
  delete environment.PULUMI_NODEJS_TYPESCRIPT;
  if (project.options.typescript !== false) environment.PULUMI_NODEJS_TYPESCRIPT = "true";
  if (project.options.tsconfig) environment.PULUMI_NODEJS_TSCONFIG_PATH = project.options.tsconfig;

  const args = [
    plainErrors,
    ...(project.options.nodeargs ? splitArguments(project.options.nodeargs) : []),
    protocol.runPath,
    ...["--monitor", options.address, "--engine", options.address],
    ...["--organization", "organization", "--project", project.name, "--stack", options.stack],
    ...["--root-directory", project.directory, "--pwd", project.programDirectory],
    ...(options.dryRun ? ["--dry-run"] : []),
    ...["--parallel", String(options.parallel)],
    project.entryPoint,
  ];
  const child: Child = startNode(args, {
    directory: project.programDirectory,
    environment,
    onLine: options.onLine,
  });
  const ended = child.exited.then(({ code, signal }): ProgramEnd => {
    if (code === 0) return { ok: true, explained: false };
    if (code === EXPLAINED_EXIT_CODE) return { ok: false, explained: true };
    const message = signal
      ? `the program was ended by ${signal}`
      : `the program ended with exit code ${code}`;
    return { ok: false, explained: false, message };
  });
  return { ended, kill: () => child.kill("SIGKILL") };
}

/** Splits at blanks outside quotes. */
const splitArguments = (text: string): string[] =>
  [...text.matchAll(/(?:"([^"]*)"|'([^']*)'|[^\s"']+)+/g)].map(match => match[0].replace(/["']/g, ""));
