import { createCipheriv, createHash, randomBytes, scryptSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The fields of a restic snapshot that `restic forget` reads. */
export interface SnapshotFile {
  /** RFC 3339 with an offset; restic puts it into buckets by this offset's zone. */
  time: string;
  hostname: string;
  tags?: string[];
}

/** The password of the repositories written here; they hold nothing. */
export const password = "oracle";

/**
 * Writes a restic repository of nothing but snapshots, which takes a millisecond each instead of the half second of
 * `restic backup`. Format: https://restic.readthedocs.io/en/stable/100_references.html#repository-format
 *
 * @returns the ids, in the order of the snapshots
 */
export function writeSnapshotRepository(directory: string, snapshots: readonly SnapshotFile[]): string[] {
  for (const name of ["data", "index", "keys", "locks", "snapshots"])
    mkdirSync(join(directory, name), { recursive: true });
  const key = randomBytes(64);
  // Cheap scrypt parameters: they would take restic half a second in every call.
  const [N, r, p] = [2, 1, 1];
  const salt = randomBytes(64);
  const user = scryptSync(password, salt, 64, { N, r, p });
  const master = {
    mac: { k: key.subarray(32, 48).toString("base64"), r: key.subarray(48, 64).toString("base64") },
    encrypt: key.subarray(0, 32).toString("base64"),
  };
  const keyFile = {
    created: "2026-01-01T00:00:00Z",
    username: "oracle",
    hostname: "oracle",
    kdf: "scrypt",
    N,
    r,
    p,
    salt: salt.toString("base64"),
    data: seal(user, JSON.stringify(master)).toString("base64"),
  };
  write(directory, "keys", Buffer.from(JSON.stringify(keyFile)));
  // Any irreducible polynomial will do; this one is the example of restic's chunker.
  const config = { version: 1, id: randomBytes(32).toString("hex"), chunker_polynomial: "3da3358b4dc173" };
  writeFileSync(join(directory, "config"), seal(key, JSON.stringify(config)));
  return snapshots.map(({ time, hostname, tags }) => {
    const snapshot = {
      time,
      tree: "0".repeat(64),
      paths: ["/"],
      hostname,
      username: "",
      ...(tags && { tags }),
    };
    return write(directory, "snapshots", seal(key, JSON.stringify(snapshot)));
  });
}

function write(directory: string, kind: string, content: Buffer): string {
  const id = createHash("sha256").update(content).digest("hex");
  writeFileSync(join(directory, kind, id), content);
  return id;
}

/** AES-256-CTR and Poly1305-AES; the key is 32 bytes for the first, 16 and 16 (k and r) for the second. */
function seal(key: Buffer, text: string): Buffer {
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-ctr", key.subarray(0, 32), iv);
  const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
  const once = createCipheriv("aes-128-ecb", key.subarray(32, 48), null).setAutoPadding(false).update(iv);
  return Buffer.concat([iv, sealed, poly1305(key.subarray(48, 64), once, sealed)]);
}

/** RFC 8439, section 2.5. */
function poly1305(r: Buffer, s: Buffer, message: Buffer): Buffer {
  const prime = (1n << 130n) - 5n;
  const clamped = littleEndian(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    sum = ((sum + littleEndian(block) + (1n << BigInt(8 * block.length))) * clamped) % prime;
  }
  const tag = (sum + littleEndian(s)) % (1n << 128n);
  return Buffer.from(tag.toString(16).padStart(32, "0"), "hex").reverse();
}

function littleEndian(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}
