import { readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";

/** One set's numbers; instants and times in seconds. What is absent is not written. */
export interface Metrics {
  last_success_timestamp_seconds?: number | undefined;
  last_failure_timestamp_seconds?: number | undefined;
  newest_point_timestamp_seconds?: number | undefined;
  next_due_timestamp_seconds?: number | undefined;
  rpo_target_seconds?: number | undefined;
  duration_seconds?: number | undefined;
  bytes_added?: number | undefined;
  recovery_points?: number | undefined;
}

const help: Record<keyof Metrics | "info", string> = {
  info: "What the set protects.",
  last_success_timestamp_seconds: "When the last run that took a point ended well.",
  last_failure_timestamp_seconds: "When the last run that failed ended.",
  newest_point_timestamp_seconds: "When the data of the newest good point was captured.",
  next_due_timestamp_seconds: "When the next point is due.",
  rpo_target_seconds: "The longest time between two slots of the schedule.",
  duration_seconds: "How long the last backup took.",
  bytes_added: "Bytes that the last backup added to its repository.",
  recovery_points: "Points that the set has.",
};

/** All of them, without their common beginning. */
export const metricNames = Object.keys(help);

/** What a number of the run before is still true of, where the new run says nothing. */
const lasting = metricNames.filter(key => key !== "info") as (keyof Metrics)[];

/** The file of one set. */
export const metricsFile = (directory: string, slug: string): string =>
  path.join(directory, `osbackup-${slug}.prom`);

/**
 * Writes a set's numbers for node_exporter's textfile collector, over those of the run before, as a whole or not at all.
 * Source: https://github.com/prometheus/node_exporter#textfile-collector
 */
export async function writeMetrics(
  file: string,
  labels: Readonly<Record<string, string>>,
  info: Readonly<Record<string, string>>,
  metrics: Metrics,
): Promise<void> {
  const before = await readFile(file, "utf8").catch(() => "");
  const lines: string[] = [];
  const write = (name: keyof typeof help, shown: Readonly<Record<string, string>>, value: string) =>
    lines.push(
      `# HELP openstack_backup_${name} ${help[name]}`,
      `# TYPE openstack_backup_${name} gauge`,
      `openstack_backup_${name}{${labelsText(shown)}} ${value}`,
    );
  write("info", { ...labels, ...info }, "1");
  for (const name of lasting) {
    const value = metrics[name] ?? valueIn(before, name);
    if (value !== undefined && Number.isFinite(Number(value))) write(name, labels, String(value));
  }
  const partial = `${file}.${process.pid}`;
  try {
    await writeFile(partial, `${lines.join("\n")}\n`, { mode: 0o644 });
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    throw error;
  }
}

const labelsText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(
      ([name, value]) =>
        `${name}="${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`,
    )
    .join(",");

const valueIn = (text: string, name: string): string | undefined =>
  new RegExp(`^openstack_backup_${name}\\{.*\\} (\\S+)$`, "m").exec(text)?.[1];
