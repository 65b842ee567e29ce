import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
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

/**
 * The folder of a template: the `state/` of services that were started once and used by nobody.
 * It is made with `bringUp` the first time; `parts` names what is in it. Older templates of the same parts are removed.
 */
export async function prepareTemplate(
  parts: string[],
  bringUp: (run: Run) => Promise<unknown>,
): Promise<string> {
  const templates = path.join(servicesDirectory(), "templates");
  const template = path.join(templates, await templateName(parts));
  await mkdir(templates, { recursive: true });
  await exclusively(`template-${parts.join("-")}`, async () => {
    if (existsSync(template)) return;
    for (const old of await readdir(templates)) {
      if (old.slice(0, old.lastIndexOf("-")) === parts.join("-")) {
        await rm(path.join(templates, old), { recursive: true, force: true });
      }
    }
    const run = await Run.create();
    try {
      await bringUp(run);
      await run.stopProcesses();
      await run.unmount();
      await copyFolder(run, run.path("state"), `${template}.new`);
      await rename(`${template}.new`, template);
    } catch (error) {
      return run.abandon(error);
    }
    await run.stop();
  });
  return template;
}
