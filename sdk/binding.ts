import * as pulumi from "@pulumi/pulumi";
import { warnOfUnknownConfiguration } from "./configuration";
import { withSecrets } from "./secrets";

/**
 * What Pulumi stores as the provider of a resource: a constant that requires the installed package by name. No code is
 * captured, so an upgrade of the package is in force at once, for reading and deleting stored resources too, and no
 * resource is updated because code changed.
 */
export function providerText(type: string): string {
  return `exports.handler=()=>require("pulumi-openstack-backup/provider").dynamicProvider("${type}")`;
}

/** The type token of a resource, as it stands in URNs and in policies. */
export function typeToken(type: string): string {
  return `pulumi-nodejs:dynamic/openstackbackup:${type}`;
}

/**
 * The owner mark of a resource of this stack, by its name: for `backupOwner` of a restore that must not wait for its set.
 * `set.owner` is the same, but where the set fails, because its source or repository is gone, the engine skips all that
 * depends on it.
 */
export const ownerOf = (name: string): string => `${pulumi.getProject()}/${pulumi.getStack()}/${name}`;

/** How a resource type is bound: its name, the inputs that check adds, its outputs, and what of the inputs is secret. */
export interface Binding {
  type: string;
  computed: readonly string[];
  outputs: readonly string[];
  /** Paths such as `repository.password`; `*` stands for every key of a map. */
  secretInputs?: readonly string[];
  /** Paths of URLs, which are secret where they hold a password. */
  addresses?: readonly string[];
}

/** A resource that this package's provider runs. */
export abstract class BackupResource extends pulumi.CustomResource {
  /** The mark on everything this resource makes: `<project>/<stack>/<resource name>`. */
  declare readonly owner: pulumi.Output<string>;

  protected constructor(
    binding: Binding,
    name: string,
    args: object,
    options?: pulumi.CustomResourceOptions,
  ) {
    warnOfUnknownConfiguration();
    for (const option of ["id", "import"] as const)
      if (options?.[option] !== undefined)
        throw new pulumi.RunError(`${binding.type} '${name}': ${noTakeover(binding.type, option)}`);
    const given = withSecrets({ ...args }, binding);
    // Named here, a property becomes an output of the resource. Each costs the program four promises.
    const absent = Object.fromEntries([...binding.computed, ...binding.outputs].map(key => [key, undefined]));
    const restore = shortenStackTraces();
    try {
      super(
        typeToken(binding.type),
        name,
        {
          ...absent,
          owner: ownerOf(name),
          ...given,
          __provider: providerText(binding.type),
        },
        options,
      );
    } catch (error) {
      restore();
      if (error instanceof Error) Error.captureStackTrace(error);
      throw error;
    } finally {
      restore();
    }
  }
}

/** Pulumi's dynamic providers can neither read nor import what they did not make; the host's own words are a stack trace. */
function noTakeover(type: string, option: string): string {
  const way =
    type === "CinderSnapshot"
      ? "give adoptId, the id of a snapshot that was made by other means"
      : "what an earlier run made is found by its marks, leave the option out";
  return `the option '${option}' is not there for dynamic resources: ${way}`;
}

/** The frames that Pulumi skips before the one that it takes for the author's line (`Resource.stackTrace` in its SDK). */
const skippedFrames = 5;
const keptFrames = 3;

/**
 * Until the returned function is called, stack traces are empty; the one that Pulumi takes as the position of a
 * resource shows the author's own lines only. Pulumi keeps a trace with each of the four promises of every property,
 * which is four fifths of a large program's time and shown only with PULUMI_DEBUG_PROMISE_LEAKS; and it stores the
 * position's whole trace in the state.
 */
function shortenStackTraces(): () => void {
  const { stackTraceLimit, prepareStackTrace } = Error;
  if (!process.env.PULUMI_DEBUG_PROMISE_LEAKS) Error.stackTraceLimit = 0;
  Error.prepareStackTrace = (error, frames) => {
    const lines = frames.slice(skippedFrames).filter(frame => isAuthors(frame.getFileName()));
    const shown = [...frames.slice(0, skippedFrames), ...lines.slice(0, keptFrames)];
    if (prepareStackTrace) return prepareStackTrace(error, shown);
    return [String(error), ...shown.map(frame => `    at ${frame}`)].join("\n");
  };
  return () => {
    Error.stackTraceLimit = stackTraceLimit;
    if (prepareStackTrace) Error.prepareStackTrace = prepareStackTrace;
    else delete (Error as { prepareStackTrace?: unknown }).prepareStackTrace;
  };
}

function isAuthors(file: string | null | undefined): boolean {
  return (
    typeof file === "string" &&
    !file.startsWith("node:") &&
    !file.startsWith(__dirname) &&
    !/[\\/]node_modules[\\/]@pulumi[\\/]/.test(file)
  );
}
