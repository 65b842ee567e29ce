import type * as pulumi from "@pulumi/pulumi";
import { BackupResource } from "./binding";
import type { CinderSnapshot } from "./cinder-snapshot";
import { type TemporaryVolumeInputs, type TemporaryVolumeOutputs, temporaryVolumeBinding } from "./generated";

/** Inputs of TemporaryVolume: made from the current point of a set, or from a snapshot named by its id. */
export type TemporaryVolumeArgs = Omit<TemporaryVolumeInputs, "snapshotId"> &
  ({ snapshot: CinderSnapshot } | { snapshotId: pulumi.Input<string> });

/** A volume made from a snapshot that exists only while a consumer needs it. Gone is converged. */
export class TemporaryVolume extends BackupResource {
  declare readonly snapshotId: pulumi.Output<string>;
  declare readonly timeoutSeconds: pulumi.Output<number>;
  declare readonly volumeId: pulumi.Output<TemporaryVolumeOutputs["volumeId"]>;

  /** What of the volume was given. An optional input that is absent would be an unknown output in every preview. */
  readonly kind: Pick<TemporaryVolumeInputs, "volumeType" | "availabilityZone" | "sizeGib">;

  constructor(name: string, args: TemporaryVolumeArgs, options?: pulumi.CustomResourceOptions) {
    const given = "snapshot" in args ? fromSet(args) : args;
    // Named even where it is not given: what reads the volume waits as long.
    super(temporaryVolumeBinding, name, { timeoutSeconds: undefined, ...given }, options);
    const { volumeType, availabilityZone, sizeGib } = args;
    this.kind = { volumeType, availabilityZone, sizeGib };
  }
}

function fromSet(
  args: Omit<TemporaryVolumeInputs, "snapshotId"> & { snapshot: CinderSnapshot },
): TemporaryVolumeInputs {
  const { snapshot, ...rest } = args;
  return { slot: snapshot.slot, trigger: snapshot.trigger, ...rest, snapshotId: snapshot.snapshotId };
}
