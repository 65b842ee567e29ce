import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import path from "node:path";
import { exclusively, servicesDirectory } from "./install";
import { Run } from "./run";

/** A folder's name that changes with the fixtures' sources, so that a changed fixture never meets an old template. */
async function templateName(parts: string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const file of (await readdir(__dirname)).sort()) {
    const isFixture = /\.(ts|py)$/.test(file) && !/^main\.ts$|\.test\.ts$/.test(file);
    if (isFixture) hash.update(await readFile(path.join(__dirname, file)));
  }
  return `${parts.join("-")}-${hash.digest("hex").slice(0, 12)}`;
}

/** Copies a folder with its sparse files, sharing blocks where the file system can. */
export function copyFolder(run: Run, from: string, to: string): Promise<string> {
  return run.execute("copy", { program: "cp", args: ["-a", "--sparse=always", "--reflink=auto", from, to] });
}

/** Removes the templates that nobody has asked for in a week; another checkout of this project may use another one. */
async function removeUnused(templates: string): Promise<void> {
  for (const name of await readdir(templates)) {
    const template = path.join(templates, name);
    const { mtimeMs } = await stat(template);
    if (Date.now() - mtimeMs > 7 * 24 * 3600_000) await rm(template, { recursive: true, force: true });
  }
}

/**
 * The folder of a template: the `state/` of services that were started once and used by nobody.
 * It is made with `bringUp` the first time; `parts` names what is in it.
 */
export async function prepareTemplate(
  parts: string[],
  bringUp: (run: Run) => Promise<unknown>,
): Promise<string> {
  const templates = path.join(servicesDirectory(), "templates");
  const template = path.join(templates, await templateName(parts));
  await mkdir(templates, { recursive: true });
  await exclusively(`template-${parts.join("-")}`, async () => {
    if (existsSync(template)) {
      await utimes(template, new Date(), new Date());
      return;
    }
    await removeUnused(templates);
    const run = await Run.create();
    try {
      await bringUp(run);
      await run.stopProcesses();
      await run.unmount();
      const unfinished = `${template}.new`;
      await rm(unfinished, { recursive: true, force: true });
      await copyFolder(run, run.path("state"), unfinished);
      await utimes(unfinished, new Date(), new Date());
      await rename(unfinished, template);
    } catch (error) {
      return run.abandon(error);
    }
    await run.stop();
  });
  return template;
}
