import { describeSchedule, parseSchedule } from "../../operations/schedule";
import {
  type ListedSet,
  parseScheduleFile,
  serverNamed,
  snapmanagersZone,
} from "../../operations/schedule-file";
import { getServers, type ServerInfo } from "../functions";
import { type Converted, count, type Source } from "./source";

/** The program that stands for a Snapmanager schedule file; each schedule in words, and what it covers in the cloud. */
export async function fromScheduleFile(source: Source): Promise<Converted> {
  const sets = parseScheduleFile(source.text, source.name);
  if (sets.length === 0) throw new Error(`${source.name}: there is no schedule in it`);
  const servers = source.offline ? undefined : await getServers({}, source.place);
  return {
    program: programOf(source.path),
    notes: [summaryOf(sets, servers), ...wordsOf(sets), leftBehind],
    config: {},
  };
}

/** "3 schedules, 2 servers, 5 volumes"; servers that are not there are named, and are an error as they are in a run. */
function summaryOf(sets: readonly ListedSet[], servers: readonly ServerInfo[] | undefined): string {
  const schedules = count(new Set(sets.map(({ copySet }) => copySet.text)).size, "schedule");
  const names = [...new Set(sets.map(({ server }) => server))];
  if (!servers) return `${schedules}, ${count(names.length, "server")}; volumes are not counted offline`;
  const problems: string[] = [];
  const found = names.flatMap(name => {
    try {
      return [serverNamed(name, servers)];
    } catch (error) {
      problems.push((error as Error).message);
      return [];
    }
  });
  if (problems.length > 0)
    throw new Error(`${problems.join("; ")}; correct the file, or convert it with --offline`);
  const volumes = found.reduce((sum, { volumes }) => sum + volumes.length, 0);
  return `${schedules}, ${count(found.length, "server")}, ${count(volumes, "volume")}`;
}

function wordsOf(sets: readonly ListedSet[]): string[] {
  const byText = new Map<string, ListedSet[]>();
  for (const set of sets) byText.set(set.copySet.text, [...(byText.get(set.copySet.text) ?? []), set]);
  return [...byText.entries()].map(([text, [first, ...others]]) => {
    const { name, schedule, count: kept, takesPoints } = (first as ListedSet).copySet;
    const when = takesPoints
      ? `${describeSchedule(parseSchedule(schedule, { timeZone: snapmanagersZone }))}, keeping the last ${kept}`
      : "takes no new points";
    const of = [first as ListedSet, ...others].map(({ server }) => server).join(", ");
    return `  ${text} is "${name}": ${when}; ${of}`;
  });
}

/** The script's own snapshots are in Ceph alone, where a plain tenant cannot look. */
const leftBehind = [
  "Snapshots of the old script are in Ceph alone; Cinder does not know them and cannot delete a volume that has some.",
  "  An administrator sees them with `rbd snap ls volumes/volume-<id>`, names as <set>_<ddmmyyyyHH>. When the new points reach",
  "  back far enough: `rbd snap rm volumes/volume-<id>@<name>`, or take one over with `cinder snapshot-manage`.",
].join("\n");

const programOf = (file: string): string => `import { SnapshotSchedule } from "pulumi-openstack-backup";

const schedule = new SnapshotSchedule("snapmanager", {
  file: ${JSON.stringify(file)},
  timeZone: "${snapmanagersZone}", // fixed in Snapmanager
  general: false, // true where the script ran with --enable-general-snapshots
});

export const sets = schedule.summary;`;
