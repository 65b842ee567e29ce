import { z } from "zod";
import {
  deletionPolicy,
  instantInput,
  instantInputOrNone,
  mover,
  moverOptions,
  owner,
  place,
  retention,
  set,
  until,
} from "./inputs";
import { repositoryAccess } from "./repository-access";

export const inputs = z.object({
  owner,
  formerOwners: z
    .array(z.string().min(1))
    .describe(
      "Owner marks that this set had before: restic snapshots with one of them are its points too. " +
        "A rename is remembered by itself; give it where the state was lost.",
    )
    .optional(),
  set: set.optional(),
  ...place,
  snapshotId: z.string().describe("The Cinder snapshot to back up. Empty: there is nothing to back up yet."),
  slot: instantInputOrNone
    .default("")
    .describe("The slot of that snapshot: one restic snapshot is made for each. Empty without a schedule."),
  trigger: z.string().describe("The trigger of that snapshot.").optional(),
  takenAt: instantInputOrNone
    .describe("When that snapshot was taken, ISO 8601 in UTC; the restic snapshot's time.")
    .optional(),
  temporaryVolume: z
    .strictObject({
      owner: z
        .string()
        .min(1)
        .describe("Owner mark of the TemporaryVolume, to find or remake its volume by."),
      volumeId: z.string().describe("Its volume, where it is known.").optional(),
      volumeType: z.string().describe("Volume type. Default: the source volume's.").optional(),
      availabilityZone: z.string().describe("Availability zone. Default: the source's.").optional(),
      sizeGib: z.number().int().positive().describe("Size in GiB. Default: the snapshot's.").optional(),
      timeoutSeconds: z.number().positive().default(300).describe("Wait for the volume, in seconds."),
    })
    .describe("The volume to read: ensured before the backup, released after it."),
  source: z
    .strictObject({
      owner: z.string().min(1).describe("Owner mark of the CinderSnapshot."),
      volumeId: z.string().min(1).describe("The volume that is protected."),
    })
    .describe("The set that the snapshot belongs to; needed by onFailure 'cleanup'.")
    .optional(),
  repository: repositoryAccess.describe("The repository to back up into."),
  mover,
  moverOptions,
  content: z
    .enum(["auto", "file", "block"])
    .default("auto")
    .describe(
      "'file' reads the file system, 'block' streams the device, 'auto' takes files where there are any.",
    ),
  paths: z
    .array(z.string().min(1))
    .min(1)
    .default(["/"])
    .describe("Paths inside the volume. Default everything."),
  exclude: z
    .array(z.string().min(1))
    .default([])
    .describe("Patterns to leave out, as restic's --exclude takes them."),
  allowUnreadable: z
    .union([z.number().int().min(0), z.array(z.string().min(1)).min(1)])
    .describe(
      "What may be unreadable in a backup that still counts as good: how many files, or patterns of their paths " +
        "such as '/var/lib/docker/**' or '*.sock'. Without it any such file makes the point partial.",
    )
    .optional(),
  allowShrink: until
    .describe(
      "Which points may have less than half the files or bytes of the good one before: true, all; an instant (ISO 8601, " +
        "such as the slot of a point, not later than now), those up to it. Default false: such a point is kept and does not " +
        "count as good.",
    )
    .optional(),
  acknowledgeChange: instantInput
    .describe(
      "The slot of a point whose change against the one before was far beyond the set's own history, or a later instant up to now, " +
        "ISO 8601: its data was looked at and is whole. Until then no older restic snapshot is removed, and each run warns.",
    )
    .optional(),
  adoptIds: z
    .array(z.string().regex(/^[0-9a-f]{8,64}$/, "must be a restic id, or its first 8 digits or more"))
    .describe(
      "Ids of restic snapshots, or their first 8 digits, that are points of this set though its state does not know them. " +
        "Snapshots with its mark that nobody knows count for nothing: whoever has the password can write them.",
    )
    .optional(),
  host: z
    .string()
    .min(1)
    .describe("restic's host name, the same in every run. Default: the set's name.")
    .optional(),
  retention: retention.describe("Which restic snapshots are kept. Default: all.").optional(),
  timeZone: z.string().default("UTC").describe("IANA time zone of retention's days. Default UTC."),
  timeoutSeconds: z
    .number()
    .positive()
    .default(86_400)
    .describe("Deadline of one backup, in seconds. Default a day."),
  onFailure: z
    .enum(["cleanup", "keepSnapshot"])
    .default("keepSnapshot")
    .describe(
      "After a failed backup: 'cleanup' removes the new Cinder snapshot too, where another one has a proven copy; 'keepSnapshot' keeps it.",
    ),
  deletionPolicy: deletionPolicy
    .default("retain")
    .describe(
      "Whether the restic snapshots go with the resource: 'retain' (default) keeps them, and fails where none of them can be " +
        "seen and the set's Cinder snapshots would go next; 'delete' forgets them.",
    ),
});

export const outputs = z.object({
  resticSnapshotId: z.string().describe("Id of the newest good restic snapshot; empty before the first one."),
  phase: z.enum(["Pending", "Succeeded", "PartiallyFailed"]).describe("How the last backup ended."),
  message: z
    .string()
    .default("")
    .describe("What the last backup said of itself; empty before the first one."),
  startedAt: z
    .string()
    .default("")
    .describe("When the last backup began, ISO 8601 in UTC; empty before the first one."),
  completedAt: z.string().default("").describe("When it was done, its copy proven."),
  points: z
    .array(
      z.object({
        resticSnapshotId: z.string(),
        original: z
          .string()
          .optional()
          .describe("The snapshot that it was written for, to carry other tags."),
        slot: z.string().optional(),
        takenAt: z.string(),
        good: z.boolean(),
        filesTotal: z.number().optional().describe("Files in it; absent where that is not known."),
        bytesTotal: z.number().optional().describe("Their bytes."),
        filesChanged: z
          .number()
          .optional()
          .describe("Share of the files of the point before that are gone or others, 0 to 1."),
        bytesChanged: z
          .number()
          .optional()
          .describe("Share of its bytes that new ones have taken the place of, 0 to 1."),
        keptBecause: z.array(z.string()),
      }),
    )
    .describe("All points of the set in the repository, newest first, each with why it is kept."),
  removed: z
    .array(z.object({ resticSnapshotId: z.string(), time: z.string(), because: z.array(z.string()) }))
    .describe("What the last run forgot, and why."),
  filesTotal: z.number().describe("Files in the last backup; 1 in block mode."),
  bytesTotal: z.number().describe("Bytes that the last backup covers."),
  bytesAdded: z.number().describe("Bytes that it added to the repository."),
  durationSeconds: z.number().describe("How long restic took for it."),
  readBy: z.string().describe("How the volume was read, such as 'loop mount'."),
  leftVolumeId: z
    .string()
    .describe(
      "A temporary volume that could not be removed; the next run tries again. Empty where none is left.",
    ),
});

export type Inputs = z.output<typeof inputs>;
export type Outputs = z.output<typeof outputs>;
