import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Every file of the folders and of what lies in them, links not followed, by its path. */
export function textsBelow(...folders: string[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const folder of folders.filter(existsSync))
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      if (entry.isFile()) texts.set(file, readFileSync(file, "latin1"));
    }
  return texts;
}

/** The names of the texts that hold one of the secrets, as it is or in base64. */
export function leaksIn(texts: Map<string, string>, secrets: Iterable<string>): string[] {
  const wanted = [...secrets].flatMap(spellings);
  return [...texts]
    .filter(([, text]) => wanted.some(spelling => text.includes(spelling)))
    .map(([name]) => name);
}

/** A secret as it is, and as base64 holds it whatever stands before and behind it. */
function spellings(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const encoded = [0, 1, 2].map(before => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    // The first and last characters mix in bits of the neighbours.
    return text.slice(before && before + 1, Math.floor(((before + bytes.length) * 8) / 6));
  });
  return [secret, ...encoded];
}
