import { z } from "zod";
import {
  ensureTemporaryVolume,
  handOverTemporaryVolumes,
  releaseTemporaryVolume,
  type TemporaryVolumeSpec,
} from "../operations/temporary-volume";
import { setNameOf } from "./cinder-snapshot";
import { owner, place, set } from "./inputs";
import { resourceType } from "./resource";

const inputs = z.object({
  owner,
  set: set.optional(),
  ...place,
  snapshotId: z
    .string()
    .describe("The Cinder snapshot to make the volume from. Empty: there is nothing to make yet.")
    .meta({ replaceOnChanges: true }),
  slot: z
    .string()
    .default("")
    .describe("The slot of that snapshot: a preview knows by it whether the volume will be made anew."),
  trigger: z.string().describe("The trigger of that snapshot.").optional(),
  volumeType: z
    .string()
    .describe("Volume type. Default: the source volume's.")
    .meta({ replaceOnChanges: true })
    .optional(),
  availabilityZone: z
    .string()
    .describe("Availability zone. Default: the source's.")
    .meta({ replaceOnChanges: true })
    .optional(),
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

  async create(given, context) {
    if (given.snapshotId === "") return { id: `${given.owner}#none`, outputs: { volumeId: "" } };
    const { volume, made } = await ensureTemporaryVolume(context.session(given), specOf(given), context);
    context.log(
      `${made ? "made" : "adopted"} temporary volume ${volume.id} from snapshot ${given.snapshotId}`,
    );
    return { id: volume.id, outputs: { volumeId: volume.id } };
  },

  // Its consumer removes the volume when the backup is done, so there is nothing that a missing one would tell.
  read: async (id, state) => ({ id, outputs: { volumeId: state.volumeId } }),

  async update(_id, state, given, context) {
    if (given.owner !== state.owner)
      await handOverTemporaryVolumes(context.session(given), specOf(state), given.owner);
    return { volumeId: state.volumeId };
  },

  async delete(_id, state, context) {
    if (state.snapshotId === "") return;
    await releaseTemporaryVolume(context.session(state), specOf(state), {
      volumeId: state.volumeId,
      signal: context.signal,
    });
  },
});

function specOf(given: Inputs): TemporaryVolumeSpec {
  return { ...given, set: setNameOf(given) };
}
