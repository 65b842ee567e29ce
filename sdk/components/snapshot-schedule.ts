import { readFileSync } from "node:fs";
import { basename } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { CopySet, ListedSet } from "pulumi-openstack-backup/functions";
import { functions, getServers, type ServerInfo } from "../functions";
import { refuseUnknownKeys } from "../known-keys";
import { ServerSnapshot } from "../server-snapshot";

/** Servers by a common trait, and the copy sets that each of them gets. */
export interface SelectedServers {
  /** Only servers whose metadata has all of these, such as `{ automatic_snapshots: "true" }`; absent: all servers. */
  where?: { metadata?: Record<string, string> };
  /** Schedules by the name of their copy set: `{ nightly: "7@mon-sun@2" }`. */
  sets: Record<string, string>;
}

/** Inputs of SnapshotSchedule. They are plain values: which resources there are follows from them. */
export interface SnapshotScheduleArgs {
  /** Path of a `snap_sched.yml`, unchanged. Relative to the folder that the program runs in. */
  file?: string;
  /** The same as an object: from schedule to servers, or from server to schedules; servers by name or id. */
  schedule?: Record<string, string | string[]>;
  /** Servers that are chosen by what they are: one that joins or is tagged later is covered by the next run. */
  servers?: SelectedServers[];
  /** Servers of every project that the login has a role in, not of its own alone. Default false. */
  allProjects?: boolean;
  /** Whether servers that nothing else names get the general set: weekdays at 06:15, 11:15, 15:15 and 19:15, the last 5 stay. Default false. */
  general?: boolean;
  /** IANA time zone. Default: UTC; with `file` Europe/Prague, which is fixed in Snapmanager. */
  timeZone?: string;
  /** What a server that is named and not there is: an error (default), or a warning. */
  unknownServers?: "fail" | "warn";
  /** What becomes of the points of a server that is gone, or no longer named: they stay (default), or go with it. */
  onSourceDelete?: "retain" | "delete";
  /** True takes no new points. Default false. */
  paused?: boolean;
  /** Wait for `available`, and for each removal, in seconds. Default 600. */
  timeoutSeconds?: number;
  /** Name in clouds.yaml. */
  cloud?: string;
  /** Region. */
  region?: string;
}

const keys = Object.keys({
  file: true,
  schedule: true,
  servers: true,
  allProjects: true,
  general: true,
  timeZone: true,
  unknownServers: true,
  onSourceDelete: true,
  paused: true,
  timeoutSeconds: true,
  cloud: true,
  region: true,
} satisfies Record<keyof SnapshotScheduleArgs, true>);

interface CopySetOfServer {
  /** "hourly of web" */
  name: string;
  set: ServerSnapshot;
}

function summaryOf({ name, set }: CopySetOfServer): pulumi.Output<string> {
  return pulumi
    .all([set.points, set.volumes, set.takenAt, set.nextDue])
    .apply(
      ([points, volumes, newest, next]) =>
        `${name}: ${counted(points, "point")} of ${counted(volumes, "volume")}, newest ${newest || "none"}, next ${next || "none"}`,
    );
}

const counted = (list: readonly unknown[], what: string): string =>
  `${list.length} ${what}${list.length === 1 ? "" : "s"}`;

/** One copy set of one server. */
interface Member {
  server: ServerInfo;
  copySet: CopySet;
}

/**
 * Snapmanager's schedules: which servers of the project are snapshot when, and how many points stay. Servers and their
 * volumes are read from the cloud on every run. Each copy set of each server is a ServerSnapshot, named after the
 * server's id, so that a renamed server keeps its points.
 */
export class SnapshotSchedule extends pulumi.ComponentResource {
  /** One for each copy set of each server. */
  readonly sets: pulumi.Output<ServerSnapshot[]>;
  /** A line for each set: "hourly of web: 7 points of 2 volumes, newest 2026-11-27T10:00:00Z, next 2026-11-27T11:00:00Z". */
  readonly summary: pulumi.Output<string[]>;

  constructor(name: string, args: SnapshotScheduleArgs, options?: pulumi.ComponentResourceOptions) {
    super("openstack-backup:index:SnapshotSchedule", name, {}, options);
    refuseUnknownKeys(`SnapshotSchedule '${name}'`, args, keys);
    // not `initialize`: the stack of its errors has a line that Node 20 shows for Pulumi in 15 s (engine/program.ts)
    const declared = pulumi.output(this.declare(name, args));
    this.sets = declared.apply(all => all.map(({ set }) => set));
    this.summary = declared.apply(all => pulumi.all(all.map(summaryOf)));
    this.registerOutputs({ summary: this.summary });
  }

  /** Asks the cloud for the servers, and declares nothing before all that is written is checked. */
  private async declare(name: string, args: SnapshotScheduleArgs): Promise<CopySetOfServer[]> {
    const listed = told(() => listedSets(args));
    const place = {
      ...(args.cloud !== undefined && { cloud: args.cloud }),
      ...(args.region !== undefined && { region: args.region }),
    };
    const members = membersOf(
      this,
      args,
      listed,
      await getServers({ ...place, allProjects: args.allProjects ?? false }),
    );
    const timeZone = args.timeZone ?? (args.file === undefined ? "UTC" : functions().snapmanagersZone);
    return members.map(({ server, copySet }) => ({
      name: `${copySet.name} of ${server.name}`,
      set: new ServerSnapshot(
        `${name}-${copySet.name}-${server.id}`,
        {
          ...place,
          set: `${copySet.name}-${server.name}`,
          serverId: server.id,
          ...(args.allProjects && { projectId: server.projectId }),
          serverName: server.name,
          schedule: copySet.schedule,
          timeZone,
          paused: (args.paused ?? false) || !copySet.takesPoints,
          ...(copySet.count > 0 && { retention: { keepLast: copySet.count } }),
          namePrefix: copySet.name,
          deletionPolicy: args.onSourceDelete ?? "retain",
          ...(args.timeoutSeconds !== undefined && { timeoutSeconds: args.timeoutSeconds }),
        },
        { parent: this },
      ),
    }));
  }
}

/** The same error as a sentence: any other is printed with the stack of this package. */
function told<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new pulumi.RunError(error instanceof Error ? error.message : String(error));
  }
}

/** What the file and the object name. */
function listedSets(args: SnapshotScheduleArgs): ListedSet[] {
  const { parseScheduleFile } = functions();
  const listed: ListedSet[] = [];
  if (args.file !== undefined) {
    const inFile = parseScheduleFile(readFileSync(args.file, "utf8"), basename(args.file));
    if (inFile.length === 0)
      throw new Error(
        `${args.file} has no schedule in it: all its sets would end; take \`file\` out of the program where that is meant`,
      );
    listed.push(...inFile);
  }
  if (args.schedule !== undefined)
    listed.push(...parseScheduleFile(JSON.stringify(args.schedule, null, 1), "schedule"));
  return listed;
}

/** The copy sets of every server that is there, each once. */
function membersOf(
  component: SnapshotSchedule,
  args: SnapshotScheduleArgs,
  listed: ListedSet[],
  servers: ServerInfo[],
): Member[] {
  const { parseCopySet, serverNamed, generalSet, hasMetadata } = functions();
  const members: Member[] = [];
  const add = (server: ServerInfo, copySet: CopySet, from: string) => {
    const twice = members.find(known => known.server.id === server.id && known.copySet.name === copySet.name);
    if (twice)
      throw new pulumi.RunError(
        `${from}: server '${server.name}' has a copy set "${copySet.name}" already, '${twice.copySet.text}'; give one of them another name`,
      );
    members.push({ server, copySet });
  };
  const problems: string[] = [];
  for (const { server, copySet, line } of listed) {
    try {
      add(serverNamed(server, servers), copySet, `line ${line}`);
    } catch (error) {
      if (error instanceof pulumi.RunError) throw error;
      problems.push(`line ${line}: ${(error as Error).message}`);
    }
  }
  if (problems.length > 0) {
    const words = `of ${args.file ?? "schedule"}: ${problems.join("; ")}`;
    if (args.unknownServers !== "warn")
      throw new pulumi.RunError(`${words}; correct it, or set unknownServers to "warn"`);
    pulumi.log.warn(words, component);
  }
  for (const { where, sets } of args.servers ?? [])
    for (const server of servers.filter(({ metadata }) => hasMetadata(metadata, where?.metadata)))
      for (const [name, text] of Object.entries(sets))
        add(
          server,
          told(() => parseCopySet(text, name)),
          "servers",
        );
  if (args.general) {
    const named = new Set(members.map(({ server }) => server.id));
    for (const server of servers) if (!named.has(server.id)) add(server, generalSet, "general");
  }
  const bare = members.filter(({ server }) => server.volumes.length === 0);
  for (const { server } of bare)
    pulumi.log.warn(
      `server '${server.name}' (${server.id}) has no volumes: no points are taken of it`,
      component,
    );
  return members.filter(member => !bare.includes(member));
}
