import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const folders = `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`.split(delimiter).filter(Boolean);

/** Where a program is; undefined where it is not installed. */
export function onPath(program: string): string | undefined {
  return folders.map(folder => join(folder, program)).find(existsSync);
}

/**
 * Skips a test, or all of a suite, where a program is missing that `npm run setup -- --tests` brings. With
 * OSBACKUP_ALL_TOOLS set, as `.ci/run` does, it fails instead: a pipeline in which tests skip unseen shows nothing.
 */
export function needs(context: Mocha.Context, ...programs: string[]): void {
  const missing = programs.filter(program => onPath(program) === undefined);
  if (missing.length === 0) return;
  const what = `${missing.join(", ")} not installed, \`npm run setup -- --tests\` brings it`;
  if (process.env.OSBACKUP_ALL_TOOLS) throw new Error(what);
  skips(context, what);
}

/** Skips a test for what no installation brings (root, what the kernel or the cloud can do), and says so. */
export function skips(context: Mocha.Context, why: string): never {
  console.log(`    skipped: ${why}`);
  return context.skip();
}

/** Skips a test unless it runs as root. */
export function needsRoot(context: Mocha.Context): void {
  if (process.geteuid?.() !== 0) skips(context, "needs root");
}
