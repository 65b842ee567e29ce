import { createHash, randomBytes } from "node:crypto";
import { createReadStream, promises as fs } from "node:fs";
import { dirname, join, relative } from "node:path";
import { emptyLedger } from "../ledger";

/** The SHA-256 of every regular file of a tree, by its path inside the tree. */
export type Manifest = Map<string, string>;

/** Real files of this machine, laid out in a folder that an image is made from. */
export interface Sample {
  directory: string;
  manifest: Manifest;
  bytes: number;
}

/** Where the database of the demo lies in its volume. */
export const ledgerPath = "/var/lib/ledger/ledger.db";
/** A large file of the database, rewritten in place between backups. */
export const segmentPath = "/var/lib/ledger/segment.bin";
export const segmentBytes = 160 * 2 ** 20;
const ledgerPages = 2048;

/** Copies regular files of this machine, up to a number of bytes and files; larger ones than `largest` are left out. */
export async function sampleFiles(
  directory: string,
  from: string[],
  limit: { bytes: number; files: number; largest: number },
): Promise<Sample> {
  const sample: Sample = { directory, manifest: new Map(), bytes: 0 };
  for (const root of from)
    for await (const file of regularFiles(root)) {
      if (sample.bytes >= limit.bytes || sample.manifest.size >= limit.files) return sample;
      if (file.size > limit.largest) continue;
      const inside = join("/", file.path);
      const target = join(directory, inside);
      await fs.mkdir(dirname(target), { recursive: true });
      const copied = await fs.copyFile(file.path, target).then(
        () => true,
        () => false,
      );
      if (!copied) continue;
      await fs.chmod(target, 0o644);
      sample.manifest.set(inside, await sha256(target));
      sample.bytes += file.size;
    }
  return sample;
}

/** Adds the database's two files to a sample. */
export async function addDatabase(sample: Sample): Promise<void> {
  await fs.mkdir(join(sample.directory, dirname(ledgerPath)), { recursive: true });
  for (const [path, content] of [
    [ledgerPath, emptyLedger(ledgerPages)],
    [segmentPath, randomBytes(segmentBytes)],
  ] as const) {
    await fs.writeFile(join(sample.directory, path), content);
    sample.manifest.set(path, createHash("sha256").update(content).digest("hex"));
    sample.bytes += content.length;
  }
}

/** The manifest of a folder, without `lost+found`. */
export async function manifestOf(directory: string): Promise<Manifest> {
  const manifest: Manifest = new Map();
  for await (const file of regularFiles(directory)) {
    const inside = join("/", relative(directory, file.path));
    if (!inside.startsWith("/lost+found")) manifest.set(inside, await sha256(file.path));
  }
  return manifest;
}

/** Where two manifests differ, in words. */
export function differences(expected: Manifest, found: Manifest): string[] {
  const lines: string[] = [];
  for (const [path, hash] of expected)
    if (found.get(path) !== hash) lines.push(`${path}: ${found.has(path) ? "other bytes" : "missing"}`);
  for (const path of found.keys()) if (!expected.has(path)) lines.push(`${path}: was not there`);
  return lines;
}

async function* regularFiles(directory: string): AsyncGenerator<{ path: string; size: number }> {
  const entries = await fs.readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* regularFiles(path);
    else if (entry.isFile()) {
      const stat = await fs.stat(path).catch(() => undefined);
      if (stat) yield { path, size: stat.size };
    }
  }
}

function sha256(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const hash = createHash("sha256");
    createReadStream(path)
      .on("error", reject)
      .on("data", part => hash.update(part))
      .on("end", () => resolve(hash.digest("hex")));
  });
}
