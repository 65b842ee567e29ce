import { z } from "zod";
import { deletionPolicy, owner, place, retention, set, timing } from "./inputs";

export const inputs = z.object({
  owner,
  set: set.optional(),
  ...place,
  serverId: z
    .string()
    .min(1)
    .describe("The Nova server whose volumes to protect.")
    .meta({ replaceOnChanges: true }),
  serverName: z
    .string()
    .describe("The server's name, for the lines that people read. Default: its id.")
    .optional(),
  ...timing,
  retention: retention
    .describe(
      "Which points are kept; what no rule keeps is removed once a newer good one exists. " +
        "Default keepLast 3 and keepForDays 7, or what the schedule's count says.",
    )
    .optional(),
  namePrefix: z
    .string()
    .min(1)
    .max(200)
    .default("backup")
    .describe("Snapshot names are `{namePrefix}-{set}-{timestamp}`."),
  description: z.string().max(255).describe("Description of the snapshots.").optional(),
  timeoutSeconds: z
    .number()
    .positive()
    .default(600)
    .describe("Wait for `available`, and for each removal, in seconds."),
  metadata: z
    .record(z.string(), z.string().max(255))
    .default({})
    .describe("More metadata for the snapshots."),
  deletionPolicy: deletionPolicy
    .default("delete")
    .describe("Whether the set's snapshots go with the resource: 'delete' (default) or 'retain'."),
});

const volume = z.object({
  volumeId: z.string(),
  snapshotId: z.string(),
  /** such as "/dev/vdb" */
  device: z.string(),
  sizeGib: z.number(),
});

const pointOutput = z.object({
  pointId: z.string(),
  name: z.string(),
  slot: z.string().optional(),
  takenAt: z.string(),
  /** snapshot of each volume, by the volume's id */
  snapshots: z.record(z.string(), z.string()),
  /** what is wrong with the point */
  status: z.string().optional(),
  keptBecause: z.array(z.string()),
});

export const outputs = z.object({
  pointId: z
    .string()
    .describe("Id of the current recovery point: that of its first snapshot; empty before the first one."),
  takenAt: z
    .string()
    .describe("When the current point was taken, ISO 8601 in UTC; empty before the first one."),
  sizeGib: z.number().describe("Size of all volumes at that moment, in GiB."),
  volumes: z
    .array(volume)
    .describe("The volumes of the current point with their snapshots, in the order of the devices."),
  skewSeconds: z
    .number()
    .describe(
      "No two snapshots of the last point are further apart than this, in seconds; 0 before the first one.",
    ),
  points: z
    .array(pointOutput)
    .describe(
      "All points of the set, newest first, each with why it is kept; `status` where it is not good.",
    ),
  removed: z
    .array(z.object({ pointId: z.string(), time: z.string(), because: z.array(z.string()) }))
    .describe("What the last run removed, and why."),
  nextDue: z.string().describe("When the next point is due, ISO 8601 in UTC; empty without a schedule."),
});

export type Inputs = z.output<typeof inputs>;
export type Outputs = z.output<typeof outputs>;
