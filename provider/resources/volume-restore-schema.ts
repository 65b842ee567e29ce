import { z } from "zod";
import { deletionPolicy, mover, moverOptions, owner, place } from "./inputs";
import { repositoryAccess } from "./repository-access";

const claim = z.strictObject({
  name: z.string().min(1).max(253).describe("Name of the claim."),
  namespace: z
    .string()
    .describe("Its namespace. Default: that of moverOptions.kubernetes, then of the context.")
    .optional(),
  storageClass: z
    .string()
    .describe(
      "Its storage class; of a restic snapshot its `type` is the default of volumeType. Default none, with which the " +
        "claim cannot be extended.",
    )
    .optional(),
  accessModes: z
    .array(z.enum(["ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "ReadWriteMany"]))
    .min(1)
    .describe("How it may be mounted. Default ReadWriteOnce.")
    .optional(),
  volumeMode: z
    .enum(["Filesystem", "Block"])
    .describe(
      "Default Filesystem, and Block where the backup was of a raw device: the driver would make a file system on one it " +
        "does not know.",
    )
    .optional(),
  fsType: z
    .enum(["ext4", "ext3", "xfs", "btrfs"])
    .describe(
      "File system to mount. Default: that of the restored files; of a Cinder snapshot the driver's, ext4.",
    )
    .optional(),
  kubeconfig: z.string().describe("Path of a kubeconfig. Default as moverOptions.kubernetes'.").optional(),
  context: z.string().describe("Context in it. Default: its current one.").optional(),
});

export const inputs = z.object({
  owner,
  mover,
  moverOptions,
  ...place,
  snapshotId: z
    .string()
    .min(1)
    .describe("The Cinder snapshot to restore.")
    .meta({ replaceOnChanges: true })
    .optional(),
  resticSnapshotId: z
    .string()
    .regex(
      /^(latest|[0-9a-f]{4,64})$/,
      "must be 'latest', or the id of a restic snapshot or a beginning of it of 4 digits or more",
    )
    .describe(
      "The restic snapshot to restore: its id, a unique beginning of it, or 'latest' of `backupOwner`.",
    )
    .meta({ replaceOnChanges: true })
    .optional(),
  backupOwner: z
    .string()
    .describe("Owner mark of the ResticBackup that 'latest' means.")
    .meta({ replaceOnChanges: true })
    .optional(),
  backupPoints: z
    .array(z.string().regex(/^[0-9a-f]{64}$/, "must be the id of a restic snapshot, 64 digits"))
    .describe(
      "The ids of the set's points, of which 'latest' means the newest good one. A `backup` gives those that its state " +
        "knows. Default: the points that the set's Cinder snapshots name; where they name none, those that carry its mark.",
    )
    .optional(),
  repository: repositoryAccess.describe("The repository that holds it.").optional(),
  name: z
    .string()
    .min(1)
    .max(255)
    .describe("Name of the new volume. Default `restore-{resource name}`.")
    .optional(),
  description: z.string().max(255).describe("Description of the new volume. Default none.").optional(),
  sizeGib: z
    .number()
    .int()
    .positive()
    .describe("Size in GiB. Default: the Cinder snapshot's, or the least that holds what restic has.")
    .meta({ replaceOnChanges: true })
    .optional(),
  volumeType: z
    .string()
    .describe("Volume type. Default: the source's.")
    .meta({ replaceOnChanges: true })
    .optional(),
  availabilityZone: z.string().describe("Availability zone.").meta({ replaceOnChanges: true }).optional(),
  fileSystem: z
    .enum(["ext4", "xfs"])
    .describe(
      "File system made on the volume for a restore of files from restic. Default: that of the backup, and ext4 where it " +
        "was neither.",
    )
    .meta({ replaceOnChanges: true })
    .optional(),
  newUuid: z
    .boolean()
    .describe(
      "True gives the file system a UUID of its own, to attach it beside the original; default false: it has that of " +
        "the backup, which /etc/fstab names.",
    )
    .meta({ replaceOnChanges: true })
    .optional(),
  verify: z
    .boolean()
    .default(true)
    .describe("Read everything back and compare it with the repository. Default true."),
  claim: claim
    .describe("A PersistentVolumeClaim for the new volume, bound and ready to be mounted. Default none.")
    .optional(),
  metadata: z.record(z.string(), z.string().max(255)).default({}).describe("More metadata for the volume."),
  timeoutSeconds: z
    .number()
    .positive()
    .default(86_400)
    .describe("Deadline of the restore, in seconds. Default a day."),
  deletionPolicy: deletionPolicy
    .default("retain")
    .describe("Whether the restored volume goes with the resource: 'retain' (default) or 'delete'."),
});

export const outputs = z.object({
  volumeId: z.string().describe("Id of the restored volume."),
  restoredSizeGib: z.number().describe("Its size in GiB."),
  source: z.string().describe("What it was made from: `cinder:<id>` or `restic:<id>`."),
  capturedAt: z.string().describe("When the restored data was captured, ISO 8601 in UTC."),
  verified: z.boolean().describe("Whether the data was read back and compared, and is all as it was."),
  compared: z.string().describe("What was read back and compared, and what is known to differ."),
  durationSeconds: z.number().describe("How long the restore took."),
  restoredAt: z.string().default("").describe("When the restore began, ISO 8601 in UTC."),
  restoredAs: z
    .string()
    .default("")
    .describe("What is on it: 'ext4', 'xfs' or 'device'; empty where Cinder made it, which does not say."),
  claimedBy: z.string().default("").describe("The claim for it, as namespace/name; empty without one."),
  writtenBy: z.string().describe("How the volume was filled: 'cinder', 'loop mount', …"),
});

export type Inputs = z.output<typeof inputs>;
export type Outputs = z.output<typeof outputs>;
