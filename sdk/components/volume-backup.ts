import * as pulumi from "@pulumi/pulumi";
import { CinderSnapshot, type CinderSnapshotArgs } from "../cinder-snapshot";
import { refuseUnknownKeys } from "../known-keys";
import { manifestsOf, setOf } from "../manifests";
import { ResticBackup, type ResticBackupArgs } from "../restic-backup";
import type { RepositoryAccess, ResticRepository } from "../restic-repository";
import { TemporaryVolume } from "../temporary-volume";
import { argsOf, type FromManifest } from "./manifest";

/** Inputs of VolumeBackup, in the words of the operator's VolumeSnapshotBackup. */
export interface VolumeBackupArgs {
  /** The Cinder volume to protect. */
  volumeId: pulumi.Input<string>;
  /** When points are due, as CinderSnapshot's schedule. */
  schedule?: CinderSnapshotArgs["schedule"];
  /** IANA time zone of the schedule and of retention's days. Default UTC. */
  timeZone?: CinderSnapshotArgs["timeZone"];
  /** True takes no new points. Default false. */
  paused?: CinderSnapshotArgs["paused"];
  /** Any text; a new one asks for a run now. */
  trigger?: CinderSnapshotArgs["trigger"];
  /** Where the data goes. */
  repository: ResticRepository | pulumi.Input<RepositoryAccess>;
  /** The Cinder snapshots: force (default true), timeoutSeconds (600), namePrefix ("backup"), retention (keepLast 3, keepForDays 7). */
  snapshot?: Pick<
    CinderSnapshotArgs,
    | "force"
    | "timeoutSeconds"
    | "namePrefix"
    | "retention"
    | "description"
    | "metadata"
    | "deletionPolicy"
    | "adoptId"
  >;
  /** The temporary volume: volumeType (the source's), timeoutSeconds (300). */
  temporaryVolume?: {
    volumeType?: pulumi.Input<string>;
    availabilityZone?: pulumi.Input<string>;
    timeoutSeconds?: pulumi.Input<number>;
  };
  /** Who reads the volume: 'local' (default), 'server', 'kubernetes' or 'auto', as ResticBackup's. */
  mover?: ResticBackupArgs["mover"];
  /** For the movers 'server', 'kubernetes' and 'auto'. */
  moverOptions?: ResticBackupArgs["moverOptions"];
  /** restic's host name. Default: the set's name. */
  host?: ResticBackupArgs["host"];
  /** Paths inside the volume. Default everything. */
  paths?: ResticBackupArgs["paths"];
  /** Patterns to leave out. */
  exclude?: ResticBackupArgs["exclude"];
  /** 'file', 'block' or 'auto' (default). */
  content?: ResticBackupArgs["content"];
  /** What may be unreadable in a backup that still counts as good: how many files, or patterns of their paths. */
  allowUnreadable?: ResticBackupArgs["allowUnreadable"];
  /** Which points may have less than half the files or bytes of the good one before: true, or those up to an instant, ISO 8601. */
  allowShrink?: ResticBackupArgs["allowShrink"];
  /** The slot, or a later instant, of a point whose unusual change was looked at: until then no older restic snapshot is removed. */
  acknowledgeChange?: ResticBackupArgs["acknowledgeChange"];
  /** Ids of restic snapshots that are points of this set though its state does not know them. */
  adoptIds?: ResticBackupArgs["adoptIds"];
  /** Which restic snapshots are kept. Default: all. */
  retention?: ResticBackupArgs["retention"];
  /** Deadline of one backup, in seconds. Default a day. */
  timeoutSeconds?: ResticBackupArgs["timeoutSeconds"];
  /** 'cleanup' (default, the operator's rule) removes what a failed run made, its Cinder snapshot too; 'keepSnapshot' keeps that. */
  onFailure?: ResticBackupArgs["onFailure"];
  /** Whether the restic snapshots go with the stack: 'retain' (default) or 'delete'. */
  deletionPolicy?: ResticBackupArgs["deletionPolicy"];
  /** Name in clouds.yaml. */
  cloud?: pulumi.Input<string>;
  /** Region. */
  region?: pulumi.Input<string>;
}

const keys = Object.keys({
  volumeId: true,
  schedule: true,
  timeZone: true,
  paused: true,
  trigger: true,
  repository: true,
  snapshot: true,
  temporaryVolume: true,
  mover: true,
  moverOptions: true,
  host: true,
  paths: true,
  exclude: true,
  content: true,
  allowUnreadable: true,
  allowShrink: true,
  acknowledgeChange: true,
  adoptIds: true,
  retention: true,
  timeoutSeconds: true,
  onFailure: true,
  deletionPolicy: true,
  cloud: true,
  region: true,
} satisfies Record<keyof VolumeBackupArgs, true>);

/**
 * One backup set, end to end: when a slot is due a Cinder snapshot is taken, a temporary volume made from it, its data
 * backed up by restic, the volume removed, and both kinds of points pruned by their retention.
 */
export class VolumeBackup extends pulumi.ComponentResource {
  readonly snapshot: CinderSnapshot;
  readonly temporaryVolume: TemporaryVolume;
  readonly backup: ResticBackup;
  /** The volume that is protected. */
  readonly volumeId: pulumi.Output<string>;
  /** As given; undefined without one. */
  readonly schedule: pulumi.Output<string | undefined>;
  /** Of the restic snapshots, as given; undefined keeps all. */
  readonly retention: pulumi.Output<pulumi.Unwrap<VolumeBackupArgs["retention"]>>;
  /** When the next point is due, ISO 8601 in UTC; empty without a schedule. */
  readonly nextDue: pulumi.Output<string>;
  /** The points in the repository, newest first, each with why it is kept. */
  readonly points: ResticBackup["points"];

  /**
   * The sets that manifests of the operator VolumeSnapshotBackup describe, each run as a Job in its manifest's namespace:
   * YAML of one document or many, or objects. The repository's variables are those of its Secret; the login to OpenStack
   * is the stack's own.
   *
   * @throws with line and column of what the operator does not have
   */
  static fromManifest(
    manifest: string | object | readonly object[],
    given: FromManifest = {},
    options?: pulumi.ComponentResourceOptions,
  ): VolumeBackup[] {
    const repositories = new Map<string, ResticRepository>();
    return manifestsOf(manifest).map(
      one => new VolumeBackup(setOf(one).name, argsOf(one, given, repositories), options),
    );
  }

  constructor(name: string, args: VolumeBackupArgs, options?: pulumi.ComponentResourceOptions) {
    super("openstack-backup:index:VolumeBackup", name, {}, options);
    refuseUnknownKeys(`VolumeBackup '${name}'`, args, keys);
    const parent = { parent: this };
    const place = { cloud: args.cloud, region: args.region, set: name };
    this.snapshot = new CinderSnapshot(
      `${name}-snapshot`,
      {
        ...place,
        ...args.snapshot,
        volumeId: args.volumeId,
        schedule: args.schedule,
        timeZone: args.timeZone,
        paused: args.paused,
        trigger: args.trigger,
        awaitsCopy: true,
      },
      parent,
    );
    this.temporaryVolume = new TemporaryVolume(
      `${name}-volume`,
      { ...place, ...args.temporaryVolume, snapshot: this.snapshot },
      parent,
    );
    this.backup = new ResticBackup(
      `${name}-backup`,
      {
        ...place,
        snapshot: this.snapshot,
        temporaryVolume: this.temporaryVolume,
        repository: args.repository,
        mover: args.mover,
        moverOptions: args.moverOptions,
        host: args.host,
        paths: args.paths,
        exclude: args.exclude,
        content: args.content,
        allowUnreadable: args.allowUnreadable,
        allowShrink: args.allowShrink,
        acknowledgeChange: args.acknowledgeChange,
        adoptIds: args.adoptIds,
        retention: args.retention,
        timeZone: args.timeZone,
        timeoutSeconds: args.timeoutSeconds,
        onFailure: args.onFailure ?? "cleanup",
        deletionPolicy: args.deletionPolicy,
      },
      parent,
    );
    this.volumeId = this.snapshot.volumeId;
    this.schedule = pulumi.output(args.schedule);
    this.retention = pulumi.output(args.retention);
    this.nextDue = this.snapshot.nextDue;
    this.points = this.backup.points;
    // The state of the three has it all: once is enough.
    this.registerOutputs();
  }
}
