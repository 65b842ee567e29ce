import { z } from "zod";
import { deletionPolicy, owner, place } from "./inputs";

const network = z
  .strictObject({
    networkId: z.string().min(1).describe("The network.").optional(),
    portId: z.string().min(1).describe("A port that is there, in place of a network.").optional(),
    fixedIp: z.string().min(1).describe("The address on the network.").optional(),
  })
  .refine(one => (one.networkId === undefined) !== (one.portId === undefined), {
    error: "give networkId or portId",
  });

export const inputs = z.object({
  owner,
  ...place,
  imageId: z
    .string()
    .min(1)
    .describe("The image to restore: of a ServerBackup, or any other of the project.")
    .meta({ replaceOnChanges: true })
    .optional(),
  snapshotIds: z
    .array(z.string().min(1))
    .min(1)
    .describe(
      "Cinder snapshots whose volumes the new server gets, in the order of its devices: those of a ServerSnapshot's point. " +
        "Without `imageId` it boots from the first.",
    )
    .meta({ replaceOnChanges: true })
    .optional(),
  backupOwner: z
    .string()
    .describe(
      "Owner mark of a ServerBackup or ServerSnapshot, in place of ids: its newest good point at the time of the restore.",
    )
    .meta({ replaceOnChanges: true })
    .optional(),
  serverId: z
    .string()
    .min(1)
    .describe(
      "A server that is there and whose disk is made anew from the image: all that is on it is lost, so it needs " +
        "`overwrite`. Default: a new server.",
    )
    .meta({ replaceOnChanges: true })
    .optional(),
  overwrite: z.boolean().default(false).describe("True allows the loss of what `serverId` has."),
  name: z
    .string()
    .min(1)
    .max(255)
    .describe("Name of the new server. Default `restore-{resource name}`.")
    .optional(),
  flavor: z
    .string()
    .min(1)
    .describe(
      "Name or id of the new server's flavor. Default: that of the server when ServerBackup took the image.",
    )
    .meta({ replaceOnChanges: true })
    .optional(),
  networks: z
    .union([z.enum(["auto", "none"]), z.array(network).min(1)])
    .default("auto")
    .describe(
      "Networks of the new server: 'auto' (default; Nova takes the project's only one), 'none', or a list of networks and ports.",
    )
    .meta({ replaceOnChanges: true }),
  keyName: z
    .string()
    .min(1)
    .describe("Key pair of the new server. Default none: it has the keys on its disk.")
    .meta({ replaceOnChanges: true })
    .optional(),
  availabilityZone: z
    .string()
    .min(1)
    .describe("Availability zone. Default Nova's.")
    .meta({ replaceOnChanges: true })
    .optional(),
  securityGroups: z
    .array(z.string().min(1))
    .describe("Names or ids of security groups. Default Nova's, 'default'.")
    .meta({ replaceOnChanges: true })
    .optional(),
  floatingIp: z
    .string()
    .min(1)
    .describe(
      "A floating IP of the project, by its address: it leads to the new server once that runs, wherever it led before.",
    )
    .optional(),
  metadata: z.record(z.string(), z.string().max(255)).default({}).describe("More metadata for the server."),
  timeoutSeconds: z
    .number()
    .positive()
    .default(3600)
    .describe("Wait for each volume, and for the server, in seconds. Default an hour."),
  deletionPolicy: deletionPolicy
    .default("retain")
    .describe(
      "Whether the new server and its volumes go with the resource: 'retain' (default) or 'delete'. A server that was " +
        "rebuilt always stays.",
    ),
});

export const outputs = z.object({
  restoredServerId: z.string().describe("Id of the new server, or of the one that was rebuilt."),
  source: z
    .string()
    .describe("What it was restored from: `image:<id>`, or `cinder:<id>` of the first snapshot."),
  capturedAt: z.string().describe("When the restored data was captured, ISO 8601 in UTC."),
  volumeIds: z
    .array(z.string())
    .describe("Volumes that were made for the new server, in the order of its devices."),
  addresses: z.array(z.string()).describe("The server's addresses when it was restored."),
  durationSeconds: z.number().describe("How long the restore took."),
  restoredAt: z.string().default("").describe("When the restore began, ISO 8601 in UTC."),
});

export type Inputs = z.output<typeof inputs>;
export type Outputs = z.output<typeof outputs>;
