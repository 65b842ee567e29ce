import { z } from "zod";
import { owner } from "./inputs";
import { repositoryAccess } from "./repository-access";

const maintenance = (what: string) =>
  z
    .string()
    .describe(`When ${what}: a schedule as for CinderSnapshot. Default: never.`)
    .meta({ decidesSlot: true })
    .optional();
const computedSlot = z
  .string()
  .describe("Added by check; not an input for people.")
  .meta({ computed: true })
  .optional();

const immutability = z.strictObject({
  mode: z
    .enum(["append-only", "governance", "compliance"])
    .describe(
      "'append-only': these keys cannot delete, others can; 'governance': an object lock that some may lift; " +
        "'compliance': one that nobody can.",
    ),
  days: z
    .number()
    .positive()
    .describe("Days for which each object is locked; append-only has none.")
    .optional(),
});

export const inputs = z.object({
  owner,
  ...repositoryAccess.shape,
  initialise: z
    .boolean()
    .default(true)
    .describe(
      "Make the repository where it is provably absent; never when it is only locked or unreachable. Default true.",
    ),
  timeZone: z
    .string()
    .default("UTC")
    .describe("IANA time zone of the schedules. Default UTC.")
    .meta({ decidesSlot: true }),
  checkSchedule: maintenance("the repository is checked"),
  readDataSubset: z
    .string()
    .regex(/^(\d+(\.\d+)?%|\d+\/\d+|\d+[KMGT])$/, "must be like '10%', '1/7' or '5G'")
    .describe(
      "How much of the data a check reads. Default: structure only, which does not find corrupted contents.",
    )
    .optional(),
  pruneSchedule: maintenance("unreferenced data is removed"),
  copyTo: repositoryAccess.describe("A second repository that every snapshot is copied to.").optional(),
  copySchedule: maintenance("the copy is brought up to date"),
  immutability: immutability
    .describe(
      "What the store promises of what it holds, as its owner set it up. Nothing here sets or proves it: policies read it.",
    )
    .optional(),
  copyImmutability: immutability.describe("The same of copyTo.").optional(),
  timeoutSeconds: z
    .number()
    .positive()
    .default(86_400)
    .describe("Deadline of each check, prune and copy, in seconds. Default a day."),
  checkSlot: computedSlot,
  pruneSlot: computedSlot,
  copySlot: computedSlot,
});

export const outputs = z.object({
  repositoryId: z
    .string()
    .describe("The repository's own id: where it is not there any more, or another one is, every run fails."),
  made: z.boolean().describe("Whether this resource initialised the repository."),
  resticVersion: z.string().describe("restic's version on the machine that ran the last operation."),
  lastCheck: z.string().describe("Slot of the last check that passed; empty before the first."),
  lastPrune: z.string().describe("Slot of the last prune; empty before the first."),
  lastCopy: z.string().describe("Slot of the last copy; empty before the first."),
});

export type Inputs = z.output<typeof inputs>;
export type Outputs = z.output<typeof outputs>;
