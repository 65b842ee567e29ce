import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import type { CinderSnapshotArgs } from "../cinder-snapshot";
import { getClaimVolumeOutput } from "../functions";
import { type Manifest, secretValues, setOf } from "../manifests";
import { type RepositoryAccess, ResticRepository } from "../restic-repository";

/** What a manifest of the operator does not say. */
export interface FromManifest
  extends Pick<CinderSnapshotArgs, "schedule" | "timeZone" | "paused" | "trigger"> {
  /** In place of the repository that the manifest names, and of its Secret. */
  repository?: ResticRepository | pulumi.Input<RepositoryAccess>;
  /** Cinder volumes of the manifests with `autoDiscover: false`, by "namespace/claim". */
  volumeIds?: Record<string, pulumi.Input<string>>;
  /** Path of a kubeconfig. Default: KUBECONFIG, then ~/.kube/config, then the pod's own service account. */
  kubeconfig?: string;
  /** Context in it. Default: its current one. */
  context?: string;
  /** Name in clouds.yaml. */
  cloud?: pulumi.Input<string>;
  /** Region. */
  region?: pulumi.Input<string>;
  /** Image of the Jobs. Default: restic/restic of the version that runs here. */
  image?: pulumi.Input<string>;
}

/** A manifest as inputs of a VolumeBackup; `repositories` holds those that were made already. */
export function argsOf(manifest: Manifest, given: FromManifest, repositories: Map<string, ResticRepository>) {
  const { metadata, spec } = manifest;
  const { namespace } = metadata;
  const { kubeconfig, context, image, repository, volumeIds = {}, ...timing } = given;
  const address = { ...(kubeconfig ? { kubeconfig } : {}), ...(context ? { context } : {}) };
  const { temporaryVolume = {}, resources } = spec;
  const { requests, limits } = resources ?? {};
  const secretName = spec.repository.secretRef?.name;
  const claim = spec.volumeClaimRef.name;
  return {
    ...timing,
    ...setOf(manifest).inputs,
    volumeId: spec.openstack.autoDiscover
      ? getClaimVolumeOutput({ name: claim, namespace, ...address }).volumeId
      : givenVolume(volumeIds, `${namespace}/${claim}`),
    repository: repository ?? repositoryOf(manifest, address, repositories),
    mover: "kubernetes" as const,
    moverOptions: {
      kubernetes: {
        ...address,
        namespace,
        ...(image === undefined ? {} : { image }),
        ...(repository || secretName === undefined ? {} : { repositorySecret: secretName }),
        ...(temporaryVolume.storageClass === undefined ? {} : { storageClass: temporaryVolume.storageClass }),
        ...(temporaryVolume.timeout === undefined ? {} : { bindTimeoutSeconds: temporaryVolume.timeout }),
        ...(resources
          ? { resources: { ...(requests ? { requests } : {}), ...(limits ? { limits } : {}) } }
          : {}),
      },
    },
  };
}

function givenVolume(ids: Record<string, pulumi.Input<string>>, key: string): pulumi.Input<string> {
  const id = ids[key];
  if (id === undefined)
    throw new pulumi.RunError(
      `the manifest of claim ${key} has autoDiscover: false: give volumeIds['${key}']`,
    );
  return id;
}

/** One for all manifests that name it; opened with the values of its Secret. */
function repositoryOf(
  { metadata: { namespace }, spec: { repository } }: Manifest,
  address: { kubeconfig?: string; context?: string },
  made: Map<string, ResticRepository>,
): ResticRepository {
  const { url, secretRef } = repository;
  if (!secretRef)
    throw new pulumi.RunError(
      `spec.repository of ${url} has no secretRef: name its Secret, or give repository`,
    );
  const secret = { name: secretRef.name, namespace };
  const key = JSON.stringify([url, secret]);
  const known = made.get(key);
  if (known) return known;
  const values = secretValues({ ...secret, ...address });
  const password = values.apply(({ RESTIC_PASSWORD: found }) => {
    if (found) return found;
    throw new pulumi.RunError(`Secret ${secret.namespace}/${secret.name} has no RESTIC_PASSWORD`);
  });
  const environment = values.apply(all =>
    Object.fromEntries(
      Object.entries(all).filter(
        ([name]) => !/^RESTIC_(PASSWORD|REPOSITORY)/.test(name) && /^[A-Z0-9_]+$/.test(name),
      ),
    ),
  );
  const digest = createHash("sha256").update(key).digest("hex").slice(0, 8);
  const repositoryResource = new ResticRepository(`repository-${digest}`, { url, password, environment });
  made.set(key, repositoryResource);
  return repositoryResource;
}
