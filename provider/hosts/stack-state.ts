import { readFileSync } from "node:fs";

/** A resource in a deployment as `pulumi stack export` writes it. */
export interface Stored {
  urn: string;
  type: string;
  outputs?: Record<string, unknown>;
}

const ours = /^pulumi-nodejs:dynamic\/openstackbackup:(\w+)$/;

/** Which of our types a resource is, by the name in its token. */
export const typeOf = ({ type }: Stored): string | undefined => ours.exec(type)?.[1];

/** What `pulumi stack export` wrote into a file, or writes to standard input. */
export function readState(file: string | undefined): unknown {
  const what = file ?? "standard input";
  let text: string;
  try {
    text = readFileSync(file ?? 0, "utf8");
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new Error(
      `reading the state from ${what}: ${isMissing ? "there is no such file" : (error as Error).message}`,
    );
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(
      `reading the state from ${what}: it is not JSON (${(error as Error).message}): give what \`pulumi stack export\` prints`,
    );
  }
}

/** Our resources in an exported deployment; with names only these, or those of the sets of these names. */
export function resourcesOf(state: unknown, names: readonly string[] = []): Stored[] {
  const deployment = (state as { deployment?: { resources?: Stored[] } } | null)?.deployment;
  // a stack that has nothing, or nothing any more, is exported without them
  const resources = typeof deployment === "object" ? (deployment?.resources ?? []) : undefined;
  if (!Array.isArray(resources))
    throw new Error("reading the state: it has no deployment: give what `pulumi stack export` prints");
  const found = resources.filter(({ type }) => ours.test(type));
  const isNamed = (resource: Stored) =>
    names.length === 0 || names.includes(nameOf(resource)) || names.includes(String(resource.outputs?.set));
  const unknown = names.filter(
    name => !found.some(resource => nameOf(resource) === name || resource.outputs?.set === name),
  );
  if (unknown.length > 0) throw new Error(`the state has no set or resource ${unknown.join(", ")}`);
  return found.filter(isNamed);
}

/** A resource's name in its program. */
export const nameOf = ({ urn }: Stored): string => urn.split("::").at(-1) ?? urn;
