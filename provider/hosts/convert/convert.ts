import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fromCrontab, isCrontab } from "./crontab";
import { fromManifests, isManifest } from "./manifest";
import { fromScheduleFile } from "./snap-sched";
import { type Converted, configCommands } from "./source";

/**
 * Prints the program that stands for a file of another system, and on standard error what is in it. The file is a
 * `snap_sched.yml`, VolumeSnapshotBackup manifests, or crontab lines of the nova backup script; its content says which.
 */
export async function convert(
  file: string,
  options: { cloud?: string; offline?: boolean; json?: boolean },
): Promise<void> {
  const { program, notes, config } = await converted(file, options);
  if (options.json) {
    console.log(JSON.stringify({ program, notes, config }, null, 2));
    return;
  }
  for (const note of notes) console.error(note);
  for (const command of configCommands(config)) console.error(command);
  console.log(program);
}

/** The program that stands for a file. */
export function converted(
  file: string,
  options: { cloud?: string; offline?: boolean },
): Promise<Converted> | Converted {
  const text = readFileSync(file, "utf8");
  const place = options.cloud === undefined ? {} : { cloud: options.cloud };
  const source = { path: file, name: basename(file), text, offline: options.offline ?? false, place };
  if (isManifest(text)) return fromManifests(source);
  if (isCrontab(text)) return fromCrontab(source);
  return fromScheduleFile(source);
}
