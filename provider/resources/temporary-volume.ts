import { z } from "zod";
import {
  ensureTemporaryVolume,
  handOverTemporaryVolumes,
  releaseTemporaryVolumes,
  releaseUnused,
  type TemporaryVolumeSpec,
} from "../operations/temporary-volume";
import { owner, place, set, setNameOf } from "./inputs";
import { type Context, resourceType } from "./resource";

const inputs = z.object({
  owner,
  set: set.optional(),
  ...place,
  snapshotId: z
    .string()
    .describe("The Cinder snapshot to make the volume from. Empty: there is nothing to make yet."),
  slot: z
    .string()
    .default("")
    .describe("The slot of that snapshot: a preview knows by it whether the volume will be made anew."),
  trigger: z.string().describe("The trigger of that snapshot.").optional(),
  volumeType: z.string().describe("Volume type. Default: the source volume's.").optional(),
  availabilityZone: z.string().describe("Availability zone. Default: the source's.").optional(),
  sizeGib: z
    .number()
    .int()
    .positive()
    .describe("Size in GiB, not below the snapshot's. Default: the snapshot's.")
    .optional(),
  timeoutSeconds: z
    .number()
    .positive()
    .default(300)
    .describe("Wait for `available`, and for the removal, in seconds."),
  expiresAfterSeconds: z
    .number()
    .positive()
    .default(172_800)
    .describe("After this a sweep may remove it although nobody released it, in seconds. Default two days."),
});

const outputs = z.object({
  volumeId: z.string().describe("Id of the volume; it may be gone again, which is converged."),
});

type Inputs = z.output<typeof inputs>;

/** A volume made from a snapshot that exists only while a consumer needs it. Gone is converged. */
export const temporaryVolume = resourceType({
  name: "TemporaryVolume",
  description: "A volume made from a snapshot that exists only while a consumer needs it. Gone is converged.",
  inputs,
  outputs,
  followSlot: ["snapshotId"],
  follows: ["snapshotId", "slot"],

  async create(given, context) {
    return { id: given.owner, outputs: { volumeId: await ensured(given, context) } };
  },

  // Its consumer removes the volume when the backup is done, so there is nothing that a missing one would tell.
  read: async (id, state) => ({ id, outputs: { volumeId: state.volumeId } }),

  // What was made from the snapshot before goes, unless it is the evidence of an unproven backup: that its consumer releases.
  async update(_id, state, given, context) {
    if (given.owner !== state.owner)
      await handOverTemporaryVolumes(context.session(given), specOf(state), given.owner);
    if (given.snapshotId === state.snapshotId) return { volumeId: state.volumeId };
    const ensuredId = await ensured(given, context);
    await releaseUnused(context.session(given), specOf(given), context);
    return { volumeId: ensuredId };
  },

  async delete(_id, state, context) {
    const { owner, timeoutSeconds, volumeId } = state;
    await releaseTemporaryVolumes(
      context.session(state),
      { owner, timeoutSeconds },
      { volumeId, signal: context.signal },
    );
  },
});

/** The id of the snapshot's volume; empty where there is no snapshot yet. */
async function ensured(given: Inputs, context: Context): Promise<string> {
  if (given.snapshotId === "") return "";
  const { volume, made } = await ensureTemporaryVolume(context.session(given), specOf(given), context);
  if (!made) context.log(`adopted temporary volume ${volume.id} from snapshot ${given.snapshotId}`);
  return volume.id;
}

function specOf(given: Inputs): TemporaryVolumeSpec {
  return { ...given, set: setNameOf(given) };
}
