import * as pulumi from "@pulumi/pulumi";
import { BackupResource } from "./binding";
import {
  accessKeys,
  type ResticRepositoryInputs,
  type ResticRepositoryOutputs,
  resticRepositoryBinding,
} from "./generated";
import { withSecrets } from "./secrets";

/** Inputs of ResticRepository. */
export type ResticRepositoryArgs = ResticRepositoryInputs;

/** How to reach a repository, as ResticBackup and VolumeRestore take it. */
export type RepositoryAccess = Pick<ResticRepositoryInputs, (typeof accessKeys)[number]>;

/**
 * A restic repository: initialised where it is provably absent, its check and prune on a schedule, optionally copied to
 * a second one. Deleting the resource never deletes data.
 */
export class ResticRepository extends BackupResource {
  declare readonly made: pulumi.Output<ResticRepositoryOutputs["made"]>;
  declare readonly resticVersion: pulumi.Output<ResticRepositoryOutputs["resticVersion"]>;
  declare readonly lastCheck: pulumi.Output<ResticRepositoryOutputs["lastCheck"]>;
  declare readonly lastPrune: pulumi.Output<ResticRepositoryOutputs["lastPrune"]>;
  declare readonly lastCopy: pulumi.Output<ResticRepositoryOutputs["lastCopy"]>;

  /** How to reach this repository; what uses it waits until the repository is there. */
  readonly access: RepositoryAccess;

  constructor(name: string, args: ResticRepositoryArgs, options?: pulumi.CustomResourceOptions) {
    super(resticRepositoryBinding, name, args, options);
    const known = Object.fromEntries(
      accessKeys.filter(key => args[key] !== undefined).map(key => [key, args[key]]),
    );
    const { secretInputs, addresses } = resticRepositoryBinding;
    const hidden = withSecrets(known, { secretInputs, addresses });
    const url = pulumi.all([hidden.url as pulumi.Input<string>, this.urn]).apply(([made]) => made);
    this.access = { ...hidden, url };
  }
}
