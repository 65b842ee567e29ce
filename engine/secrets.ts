import { createCipheriv, createDecipheriv, pbkdf2, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";

const derive = promisify(pbkdf2);
/** Pulumi's figure; one derivation takes some tenths of a second. */
const ITERATIONS = 1_000_000;

/**
 * Encrypts as the CLI's passphrase provider does: AES-256-GCM under a key that PBKDF2-SHA256 derives from the
 * passphrase; `v1:<nonce>:<ciphertext and tag>`, both base64. `salt` is the text kept as `encryptionsalt`.
 */
export class Crypter {
  readonly #key: Buffer;

  private constructor(
    readonly salt: string,
    key: Buffer,
  ) {
    this.#key = key;
  }

  /** A new salt for the passphrase. */
  static async create(passphrase: string): Promise<Crypter> {
    const salt = randomBytes(8);
    const bare = new Crypter("", await derive(passphrase, salt, ITERATIONS, 32, "sha256"));
    return new Crypter(`v1:${salt.toString("base64")}:${bare.encrypt("pulumi")}`, bare.#key);
  }

  /** Opens an existing salt; throws when the passphrase is not the one it was made with. */
  static async open(passphrase: string, salt: string): Promise<Crypter> {
    const [version, saltText, ...check] = salt.split(":");
    if (version !== "v1" || !saltText || check.length !== 3) {
      throw new Error("opening the stack's secrets: the encryption salt is malformed");
    }
    const key = await derive(passphrase, Buffer.from(saltText, "base64"), ITERATIONS, 32, "sha256");
    const crypter = new Crypter(salt, key);
    let clear: string | undefined;
    try {
      clear = crypter.decrypt(check.join(":"));
    } catch {}
    if (clear !== "pulumi") {
      throw new Error(
        "opening the stack's secrets: incorrect passphrase (PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE)",
      );
    }
    return crypter;
  }

  /** Encrypts one text under a fresh nonce. */
  encrypt(text: string): string {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return `v1:${nonce.toString("base64")}:${sealed.toString("base64")}`;
  }

  /** Decrypts what `encrypt` made; throws when it was changed or made under another key. */
  decrypt(text: string): string {
    const [version, nonce, sealedText] = text.split(":");
    if (version !== "v1" || !nonce || !sealedText) throw new Error("decrypting a secret: it is malformed");
    const sealed = Buffer.from(sealedText, "base64");
    const decipher = createDecipheriv("aes-256-gcm", this.#key, Buffer.from(nonce, "base64"));
    decipher.setAuthTag(sealed.subarray(sealed.length - 16));
    try {
      return decipher.update(sealed.subarray(0, -16), undefined, "utf8") + decipher.final("utf8");
    } catch (cause) {
      throw new Error("decrypting a secret: it was made with another passphrase or changed since", { cause });
    }
  }
}

/** The passphrase from PULUMI_CONFIG_PASSPHRASE or the file that PULUMI_CONFIG_PASSPHRASE_FILE names. */
export function passphraseFrom(environment: NodeJS.ProcessEnv): string | undefined {
  const passphrase = environment.PULUMI_CONFIG_PASSPHRASE;
  if (passphrase !== undefined) return passphrase;
  const file = environment.PULUMI_CONFIG_PASSPHRASE_FILE;
  if (!file) return undefined;
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new Error(`reading PULUMI_CONFIG_PASSPHRASE_FILE: ${(cause as Error).message}`, { cause });
  }
}
