import { z } from "zod";
import { deletionPolicy, owner, place, retention, set, timing } from "./inputs";

export const inputs = z.object({
  owner,
  set: set.optional(),
  ...place,
  volumeId: z.string().min(1).describe("The Cinder volume to protect.").meta({ replaceOnChanges: true }),
  ...timing,
  retention: retention
    .describe(
      "Which snapshots are kept; what no rule keeps is removed once a newer good one exists. " +
        "Default keepLast 3 and keepForDays 7, or what the schedule's count says.",
    )
    .optional(),
  namePrefix: z
    .string()
    .min(1)
    .max(200)
    .default("backup")
    .describe("Snapshot names are `{namePrefix}-{set}-{timestamp}`."),
  name: z
    .string()
    .min(1)
    .max(255)
    .describe("The snapshot's whole name, instead of prefix, set and timestamp.")
    .optional(),
  description: z.string().max(255).describe("Description of the snapshots.").optional(),
  force: z
    .boolean()
    .default(true)
    .describe("Snapshot a volume that is attached. From microversion 3.66 Cinder always does. Default true."),
  timeoutSeconds: z
    .number()
    .positive()
    .default(600)
    .describe("Wait for `available`, and for each removal, in seconds."),
  metadata: z
    .record(z.string(), z.string().max(255))
    .default({})
    .describe("More metadata for the snapshots."),
  awaitsCopy: z
    .boolean()
    .describe(
      "True where a ResticBackup copies the points: none goes before the copy of a newer one is proven in the " +
        "repository. A VolumeBackup sets it. Default false.",
    )
    .optional(),
  adoptId: z
    .string()
    .describe(
      "A snapshot of this volume made by other means, to be taken into the set: stands in for `import`.",
    )
    .optional(),
  deletionPolicy: deletionPolicy
    .default("delete")
    .describe("Whether the set's snapshots go with the resource: 'delete' (default) or 'retain'."),
});

const pointOutput = z.object({
  snapshotId: z.string(),
  name: z.string(),
  slot: z.string().optional(),
  takenAt: z.string(),
  /** Cinder's, where it is not `available` */
  status: z.string().optional(),
  keptBecause: z.array(z.string()),
});

export const outputs = z.object({
  snapshotId: z.string().describe("Id of the current recovery point; empty before the first one."),
  takenAt: z
    .string()
    .describe("When the current point was taken, ISO 8601 in UTC; empty before the first one."),
  sizeGib: z.number().describe("Size of the volume at that moment, in GiB."),
  points: z
    .array(pointOutput)
    .describe(
      "All points of the set, newest first, each with why it is kept; `status` where it is not `available`.",
    ),
  removed: z
    .array(z.object({ snapshotId: z.string(), time: z.string(), because: z.array(z.string()) }))
    .describe("What the last run removed, and why."),
  nextDue: z.string().describe("When the next point is due, ISO 8601 in UTC; empty without a schedule."),
});

export type Inputs = z.output<typeof inputs>;
export type Outputs = z.output<typeof outputs>;
