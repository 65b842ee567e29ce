import * as pulumi from "@pulumi/pulumi";
import { BackupResource } from "./binding";
import {
  type ResticRepositoryInputs,
  type ResticRepositoryOutputs,
  resticRepositoryBinding,
} from "./generated";

/** Inputs of ResticRepository. */
export type ResticRepositoryArgs = ResticRepositoryInputs;

/** How to reach a repository, as ResticBackup and VolumeRestore take it. */
export type RepositoryAccess = Pick<
  ResticRepositoryInputs,
  "url" | "password" | "passwordFile" | "passwordCommand" | "environment" | "caCertFile"
>;

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

  /** How to reach this repository, secret as a whole; what uses it waits until the repository is there. */
  readonly access: pulumi.Output<pulumi.Unwrap<RepositoryAccess>>;

  constructor(name: string, args: ResticRepositoryArgs, options?: pulumi.CustomResourceOptions) {
    super(resticRepositoryBinding, name, { ...args, url: withCredentialsHidden(args.url) }, options);
    const { url, password, passwordFile, passwordCommand, environment, caCertFile } = args;
    const given = pulumi.secret({ url, password, passwordFile, passwordCommand, environment, caCertFile });
    this.access = pulumi.all([given, this.urn]).apply(([access]) => defined(access)) as this["access"];
  }
}

function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as T;
}

/** `rest:https://user:password@host/` is a secret, other addresses are not. */
function withCredentialsHidden(url: pulumi.Input<string>): pulumi.Output<string> {
  return pulumi
    .output(url)
    .apply(known => (/\/\/[^/@]*:[^/@]*@/.test(known) ? pulumi.secret(known) : pulumi.output(known)));
}
