import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Devcloud, makeExt4Image, startDevcloud } from "../../../devcloud";
import { type Held, Lifecycle } from "../../lifecycle";
import { newRepository, password, restic } from "../restic/fixture";
import { RecordedRestic } from "./recorded-restic";

/** A snapshot as restic lists it. */
export interface Listed {
  id: string;
  original?: string;
  tags: string[];
}

/** One backup set in a cloud of its own, whose volume gets other files when a test says so. */
export class BackupCase {
  private volumeId = "";
  private images = 0;
  private readonly mountDirectory = process.env.OSBACKUP_MOUNT_DIRECTORY;
  /** What the last run said. */
  lines: string[] = [];

  private constructor(
    readonly cloud: Devcloud,
    readonly work: string,
    readonly url: string,
    readonly recorded: RecordedRestic,
  ) {}

  static async make(): Promise<BackupCase> {
    const work = mkdtempSync(path.join(tmpdir(), "osbackup-backup-"));
    const made = new BackupCase(
      await startDevcloud(),
      work,
      (await newRepository()).path,
      new RecordedRestic(work),
    );
    process.env.OSBACKUP_MOUNT_DIRECTORY = path.join(work, "mnt");
    return made;
  }

  async end(): Promise<void> {
    this.recorded.restore();
    await this.cloud.stop();
    if (this.mountDirectory === undefined) delete process.env.OSBACKUP_MOUNT_DIRECTORY;
    else process.env.OSBACKUP_MOUNT_DIRECTORY = this.mountDirectory;
    rmSync(this.work, { recursive: true, force: true });
  }

  /** From now on the volume holds these files. */
  async holds(files: Record<string, string | Buffer>): Promise<void> {
    const number = this.images++;
    const folder = path.join(this.work, `files-${number}`);
    mkdirSync(folder);
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
      writeFileSync(path.join(folder, name), content);
    }
    const imageFile = path.join(this.work, `volume-${number}.img`);
    await makeExt4Image(imageFile, { sizeMib: 16, fromDirectory: folder });
    this.volumeId = (await this.cloud.addVolume({ name: "source", imageFile })).id;
  }

  /** From now on its image has these files in place of those of the same name, and not those that are gone; the others stay as they are. */
  async changes(fresh: Record<string, Buffer>, gone: readonly string[] = []): Promise<void> {
    const number = this.images++;
    const imageFile = path.join(this.work, `volume-${number}.img`);
    copyFileSync(path.join(this.work, `volume-${number - 1}.img`), imageFile);
    const commands = [...Object.keys(fresh), ...gone].map(name => `rm ${name}`);
    for (const [name, content] of Object.entries(fresh)) {
      const file = path.join(this.work, `fresh-${number}-${name}`);
      writeFileSync(file, content);
      commands.push(`write ${file} ${name}`);
    }
    const script = path.join(this.work, `changes-${number}`);
    writeFileSync(script, `${commands.join("\n")}\n`);
    execFileSync("debugfs", ["-w", "-f", script, imageFile], { stdio: "ignore" });
    this.volumeId = (await this.cloud.addVolume({ name: "source", imageFile })).id;
  }

  /** From now on the volume is a raw device of that many MiB. */
  async isRaw(sizeMib: number): Promise<void> {
    const imageFile = path.join(this.work, `volume-${this.images++}.img`);
    writeFileSync(imageFile, Buffer.alloc(sizeMib << 20, `${sizeMib}`));
    this.volumeId = (await this.cloud.addVolume({ name: "source", imageFile })).id;
  }

  /** One run of the stack, a process of its own in life; `before` is what the last one held of the backup. */
  async up(hour: number, more: object = {}, before?: Held): Promise<Held> {
    const { run, properties } = await this.begun(hour, more, before);
    return run.up("ResticBackup", properties);
  }

  /** Whether an engine would update the backup; it hears what is to be said of it. */
  async differs(hour: number, more: object, before: Held): Promise<boolean> {
    const { run, properties } = await this.begun(hour, more, before);
    return run.differs("ResticBackup", properties);
  }

  /** As `up`, with the difference that an engine asks for before it, in the same process. */
  async wholeUp(hour: number, more: object, before: Held): Promise<Held> {
    const { run, properties } = await this.begun(hour, more, before);
    await run.differs("ResticBackup", properties);
    return run.up("ResticBackup", properties);
  }

  /** What a run that fails left in the state, and its message. */
  async fails(hour: number, more: object = {}, before?: Held): Promise<{ message: string; state: Held }> {
    const { run, properties } = await this.begun(hour, more, before);
    const failure = await run.up("ResticBackup", properties).then(
      () => undefined,
      error => error,
    );
    if (failure?.name !== "PartialFailure")
      throw failure ?? new Error(`the run of ${hour}:00 was to fail in part, and succeeded`);
    return {
      message: failure.message,
      state: { paths: ["/"], exclude: [], ...properties, ...failure.fresh.outputs },
    };
  }

  async preview(hour: number, more: object = {}, before?: Held): Promise<string[]> {
    const { run, properties } = await this.begun(hour, more, before);
    const { drift, plan } = await run.preview("ResticBackup", properties);
    return [...drift, ...plan];
  }

  private async begun(hour: number, more: object, before: Held | undefined) {
    const run = this.runAt(hour);
    const { snapshotId, takenAt } = await run.up("CinderSnapshot", {
      owner: "shop/prod/snapshot",
      volumeId: this.volumeId,
      schedule: "0 * * * *",
      retention: { keepLast: 5 },
    });
    const properties = {
      owner: "shop/prod/set",
      snapshotId,
      slot: this.slot(hour),
      takenAt,
      temporaryVolume: { owner: "shop/prod/set-volume" },
      repository: { url: this.url, password },
      ...more,
    };
    if (before) run.keep("ResticBackup", before.owner, before, properties.owner);
    return { run, properties };
  }

  /** Removes the Cinder snapshots of the set. */
  async dropSnapshots(hour: number): Promise<void> {
    const { run } = await this.begun(hour, {}, undefined);
    await run.down();
  }

  runAt(hour: number): Lifecycle {
    const run = new Lifecycle({
      ...this.cloud.environment,
      OSBACKUP_NOW: `${this.slot(hour).slice(0, 13)}:10:00Z`,
    });
    this.lines = run.lines;
    return run;
  }

  slot = (hour: number): string =>
    new Date(Date.UTC(2026, 10, 22, hour)).toISOString().replace(":00.000Z", ":00Z");

  listed = (): Listed[] => JSON.parse(restic(this.url, "snapshots", "--json")) as Listed[];
}

/** Slot and worth of each point of a state, newest first. */
export const worths = ({ points }: Held): [string, boolean][] =>
  points.map((point: Held) => [point.slot, point.good]);
