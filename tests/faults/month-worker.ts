import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type MonthReport, playMonth } from "./month";
import { unmount } from "./scenario";

/** What the process of one month tells: a line after each day, and how it all went. */
export type FromMonth = { kind: "day"; line: string } | { kind: "end"; report: MonthReport };

/** Plays one month in a folder of its own; the seed and the hours are the arguments. */
async function main(): Promise<void> {
  const [seed, hours] = process.argv.slice(2).map(Number);
  const tell = (message: FromMonth) => process.send?.(message);
  const root = mkdtempSync(path.join(tmpdir(), "osbackup-month-"));
  process.once("disconnect", () => process.exit(1));
  try {
    const report = await playMonth(path.join(root, "scenario"), {
      seed: seed ?? 1,
      hours: hours ?? 720,
      onDay: line => tell({ kind: "day", line }),
    });
    tell({ kind: "end", report });
  } finally {
    unmount(root);
    rmSync(root, { recursive: true, force: true });
  }
}

main().then(
  () => process.exit(0),
  error => {
    console.error(error);
    process.exit(1);
  },
);
