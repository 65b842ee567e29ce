import { z } from "zod";
import { deletionPolicy, owner, place, retention, set, timing } from "./inputs";

export const inputs = z.object({
  owner,
  set: set.optional(),
  ...place,
  serverId: z.string().min(1).describe("The Nova server to back up.").meta({ replaceOnChanges: true }),
  serverName: z
    .string()
    .describe("The server's name, for the lines that people read. Default: its id.")
    .optional(),
  ...timing,
  retention: retention
    .describe(
      "Which images are kept; what no rule keeps is removed once a newer good one exists. Default keepLast 7, or what " +
        "the schedule's count says.",
    )
    .optional(),
  backupType: z
    .string()
    .min(1)
    .max(255)
    .describe(
      "The image's property `backup_type`, as Nova's createBackup has it: daily, weekly, … Default: the set's name.",
    )
    .optional(),
  namePrefix: z
    .string()
    .min(1)
    .max(150)
    .default("backup")
    .describe(
      "Image names are `{namePrefix}-{set}-{timestamp}-{digest}`; the digest tells them from other stacks'.",
    ),
  whileBusy: z
    .enum(["wait", "fail"])
    .default("wait")
    .describe(
      "What to do while Nova works on the server otherwise, such as another backup: 'wait' (default; 10 minutes at most) or 'fail'.",
    ),
  quiesce: z
    .enum(["require", "try", "off"])
    .default("try")
    .describe(
      "Whether the guest's file systems must be at rest. Nova has them frozen by the guest's agent where the server's image has " +
        "hw_qemu_guest_agent=yes, and refuses an image that it could not freeze for where it has os_require_quiesce=yes too. " +
        "'require' fails unless both are there or the server is off; 'try' (default) takes the image and says in " +
        "`consistency` what is known of it; 'off' does not look.",
    ),
  adoptImages: z
    .boolean()
    .default(false)
    .describe(
      "True takes the images of this server into the set that Nova's createBackup made with the same `backup_type`, as the " +
        "nova backup script did: from then on they are marked, counted and removed like the set's own. Default false: " +
        "they stay as they are.",
    ),
  timeoutSeconds: z
    .number()
    .positive()
    .default(3600)
    .describe("Wait for the server to be idle, and for the image to be `active`, in seconds."),
  metadata: z
    .record(z.string().regex(/^[a-zA-Z0-9\-_:. ]{1,255}$/), z.string().max(255))
    .default({})
    .describe("More properties for the images."),
  deletionPolicy: deletionPolicy
    .default("retain")
    .describe("Whether the set's images go with the resource: 'retain' (default) or 'delete'."),
});

const pointOutput = z.object({
  imageId: z.string(),
  name: z.string(),
  slot: z.string().optional(),
  takenAt: z.string(),
  /** what is wrong with the point */
  status: z.string().optional(),
  keptBecause: z.array(z.string()),
});

export const outputs = z.object({
  imageId: z.string().describe("Id of the current image; empty before the first one."),
  takenAt: z
    .string()
    .describe("When the current image was taken, ISO 8601 in UTC; empty before the first one."),
  sizeBytes: z
    .number()
    .describe(
      "Size of the current image; 0 for a server that boots from a volume, whose data is in the snapshots.",
    ),
  consistency: z
    .string()
    .describe(
      "What the current image holds: 'filesystem' where the guest's file systems were at rest, 'crash' where that is not known.",
    ),
  snapshotIds: z
    .array(z.string())
    .describe(
      "The Cinder snapshots of a server that boots from a volume, which belong to the current image.",
    ),
  points: z
    .array(pointOutput)
    .describe(
      "All images of the set, newest first, each with why it is kept; `status` where it is not good.",
    ),
  removed: z
    .array(z.object({ imageId: z.string(), time: z.string(), because: z.array(z.string()) }))
    .describe("What the last run removed, and why."),
  nextDue: z.string().describe("When the next image is due, ISO 8601 in UTC; empty without a schedule."),
});

export type Inputs = z.output<typeof inputs>;
export type Outputs = z.output<typeof outputs>;
