import { World } from "../driver/world";
import { type ListedPoint, listedPoints, statusOf } from "./list";
import { localTime } from "./wall-clock";

/** What is described, and how. */
export interface DescribeOptions {
  repository?: string;
  cloud?: string;
  json?: boolean;
}

/**
 * Prints all that is known of one recovery point, by its id or the beginning of it, and how it is restored.
 *
 * @throws where there is none, or more than one
 */
export async function describe(id: string, options: DescribeOptions): Promise<void> {
  const world = new World({}, line => console.error(line));
  const points = await listedPoints(world, options);
  const found = points.filter(point => point.id.startsWith(id));
  const [point, another] = found;
  if (!point) throw new Error(`there is no recovery point ${id}, see \`osbackup list\``);
  if (another) throw new Error(`${found.length} points begin with ${id}, give more of the id`);
  if (options.json) console.log(JSON.stringify(point, null, 2));
  else for (const line of linesOf(point, options)) console.log(line);
}

function linesOf(point: ListedPoint, { repository }: DescribeOptions): string[] {
  const facts: [string, string | undefined][] = [
    ["Point", point.id],
    ["Where", places[point.where]],
    ["Name", point.name],
    ["Status", statusOf(point)],
    ["Set", point.set],
    ["Owner", point.owner],
    ["Taken", localTime(point.takenAt)],
    ["Slot", point.slot === "" ? "none" : localTime(point.slot)],
    ["Trigger", point.trigger],
    ["Volume", point.volumeId],
    ["Part", point.part],
    ["Server", point.serverId],
    ["Size", point.sizeGib === undefined ? undefined : `${point.sizeGib} GiB`],
    ["Consistency", point.consistency],
    ["Tags", point.tags?.join(", ")],
  ];
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== undefined && fact[1] !== "");
  const width = Math.max(...known.map(([name]) => name.length)) + 1;
  return [
    ...known.map(([name, value]) => `${`${name}:`.padEnd(width)}  ${value}`),
    ...waysBack(point, repository),
  ];
}

const places = { cinder: "Cinder snapshot", glance: "Glance image", restic: "restic snapshot" } as const;

function waysBack({ where, id, part, volumeId }: ListedPoint, repository: string | undefined): string[] {
  const restore = `npx osbackup restore ${id}`;
  const ways: Record<ListedPoint["where"], string[]> = {
    cinder: [
      `${restore}    # a new volume${volumeId === undefined ? "" : ` beside ${volumeId}`}`,
      ...(part === undefined
        ? []
        : [`${restore} --server --flavor <flavor>    # a new server with all volumes of the point`]),
    ],
    glance: [`${restore}    # a new server`],
    restic: [
      `${restore} --repository ${repository}    # a new volume`,
      `${restore} --repository ${repository} --target <folder>    # its files, onto this machine`,
    ],
  };
  return ["", "Restore:", ...ways[where].map(way => `  ${way}`)];
}
