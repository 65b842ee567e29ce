import { execFileSync } from "node:child_process";
import { createCipheriv, createHash, randomBytes, scryptSync } from "node:crypto";
import { chmod, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * Replaces the key of a local repository by one with the same master key but a cheap password derivation: restic
 * spends 0.4 s of every command on it otherwise. The format is in restic's doc/design.rst, "Keys, Encryption and MAC".
 */
export async function makeKeyCheap(path: string, password: string): Promise<void> {
  const masterKey = execFileSync("restic", ["--no-cache", "--no-lock", "-r", path, "cat", "masterkey"], {
    env: { ...process.env, RESTIC_PASSWORD: password },
  });
  const salt = randomBytes(64);
  const [N, r, p] = [1024, 8, 1];
  const derived = scryptSync(password, salt, 64, { N, r, p });
  const key = JSON.stringify({
    created: "2026-01-01T00:00:00Z",
    username: "test",
    hostname: "test",
    kdf: "scrypt",
    N,
    r,
    p,
    salt: salt.toString("base64"),
    data: seal(derived, masterKey).toString("base64"),
  });
  const keys = join(path, "keys");
  for (const name of await readdir(keys)) await rm(join(keys, name), { force: true });
  const file = join(keys, createHash("sha256").update(key).digest("hex"));
  await writeFile(file, key);
  await chmod(file, 0o600);
}

/** nonce, AES-256-CTR ciphertext, Poly1305-AES tag; the key is encrypt (32), k (16), r (16). */
function seal(key: Buffer, plain: Buffer): Buffer {
  const nonce = randomBytes(16);
  const cipher = createCipheriv("aes-256-ctr", key.subarray(0, 32), nonce);
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  const pad = createCipheriv("aes-128-ecb", key.subarray(32, 48), null).setAutoPadding(false).update(nonce);
  return Buffer.concat([nonce, sealed, poly1305(key.subarray(48, 64), pad, sealed)]);
}

const number = (bytes: Buffer): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString("hex") || "0"}`);

function poly1305(r: Buffer, pad: Buffer, message: Buffer): Buffer {
  const clamped = number(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = Buffer.concat([message.subarray(at, at + 16), Buffer.from([1])]);
    sum = ((sum + number(block)) * clamped) % ((1n << 130n) - 5n);
  }
  const tag = (sum + number(pad)) & ((1n << 128n) - 1n);
  return Buffer.from(tag.toString(16).padStart(32, "0"), "hex").reverse();
}
