import { createCipheriv, createDecipheriv, createHash, randomBytes, scryptSync } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";

/**
 * restic makes its key so that each command takes half a second of computing to open the repository. Thousands of
 * commands on a repository of the tests' own have no use for that: its key is sealed anew with the least work that
 * restic takes. By restic's design document: https://restic.readthedocs.io/en/stable/100_references.html#keys-encryption-and-mac
 */

interface KeyFile {
  kdf: "scrypt";
  N: number;
  r: number;
  p: number;
  salt: string;
  data: string;
}

interface Keys {
  encrypt: Buffer;
  mac: { k: Buffer; r: Buffer };
}

const macBytes = 16;
const nonceBytes = 16;

/** Makes every later command on the repository quick. */
export function quicken(repository: string, password: string): void {
  const { name, file } = keyFileOf(repository);
  const master = open(derived(file, password), Buffer.from(file.data, "base64"));
  const easy = { ...file, N: 2, r: 1, p: 1 };
  const data = seal(derived(easy, password), master).toString("base64");
  const text = JSON.stringify({ ...easy, data });
  writeFileSync(path.join(repository, "keys", createHash("sha256").update(text).digest("hex")), text);
  rmSync(path.join(repository, "keys", name));
}

/** A lock as restic writes it, of a process that this call makes up; returns the file. */
export function addLock(
  repository: string,
  password: string,
  of: { host?: string; pid: number; exclusive: boolean },
): string {
  const lock = {
    time: new Date().toISOString(),
    exclusive: of.exclusive,
    hostname: of.host ?? hostname(),
    username: "root",
    pid: of.pid,
    uid: 0,
    gid: 0,
  };
  return add("locks", lock, repository, password);
}

/** Snapshots as `restic cat snapshot` shows them; without an index of their own, so their tree must be there. */
export function addSnapshots(repository: string, password: string, snapshots: readonly object[]): void {
  for (const snapshot of snapshots) add("snapshots", snapshot, repository, password);
}

function add(kind: "locks" | "snapshots", content: object, repository: string, password: string): string {
  const bytes = seal(masterKeys(repository, password), Buffer.from(JSON.stringify(content)));
  const written = path.join(repository, kind, createHash("sha256").update(bytes).digest("hex"));
  writeFileSync(written, bytes);
  return written;
}

function masterKeys(repository: string, password: string): Keys {
  const { file } = keyFileOf(repository);
  const opened = open(derived(file, password), Buffer.from(file.data, "base64"));
  const { encrypt, mac } = JSON.parse(opened.toString("utf8"));
  const bytes = (text: string) => Buffer.from(text, "base64");
  return { encrypt: bytes(encrypt), mac: { k: bytes(mac.k), r: bytes(mac.r) } };
}

function keyFileOf(repository: string): { name: string; file: KeyFile } {
  const [name, ...others] = readdirSync(path.join(repository, "keys"));
  if (name === undefined || others.length > 0) throw new Error(`${repository} has not one key`);
  return { name, file: JSON.parse(readFileSync(path.join(repository, "keys", name), "utf8")) as KeyFile };
}

function derived({ N, r, p, salt }: KeyFile, password: string): Keys {
  const bytes = scryptSync(password, Buffer.from(salt, "base64"), 64, { N, r, p, maxmem: 2 ** 30 });
  return { encrypt: bytes.subarray(0, 32), mac: { k: bytes.subarray(32, 48), r: bytes.subarray(48, 64) } };
}

function seal({ encrypt, mac }: Keys, plain: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-ctr", encrypt, nonce);
  const hidden = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, hidden, poly1305Aes(hidden, nonce, mac)]);
}

function open({ encrypt, mac }: Keys, sealed: Buffer): Buffer {
  const nonce = sealed.subarray(0, nonceBytes);
  const hidden = sealed.subarray(nonceBytes, -macBytes);
  if (!poly1305Aes(hidden, nonce, mac).equals(sealed.subarray(-macBytes))) throw new Error("wrong password");
  const cipher = createDecipheriv("aes-256-ctr", encrypt, nonce);
  return Buffer.concat([cipher.update(hidden), cipher.final()]);
}

/** Bernstein's Poly1305-AES: https://cr.yp.to/mac/poly1305-20050329.pdf */
function poly1305Aes(message: Buffer, nonce: Buffer, { k, r }: Keys["mac"]): Buffer {
  const cipher = createCipheriv("aes-128-ecb", k, null).setAutoPadding(false);
  const pad = littleEndian(cipher.update(nonce));
  const clamped = littleEndian(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  const prime = (1n << 130n) - 5n;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    sum = ((sum + littleEndian(block) + (1n << BigInt(8 * block.length))) * clamped) % prime;
  }
  let tag = (sum + pad) & ((1n << 128n) - 1n);
  const bytes = Buffer.alloc(16);
  for (let at = 0; at < 16; at++) {
    bytes[at] = Number(tag & 0xffn);
    tag >>= 8n;
  }
  return bytes;
}

function littleEndian(bytes: Buffer): bigint {
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at--) value = (value << 8n) | BigInt(bytes[at] as number);
  return value;
}
