import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { Crypter, passphraseFrom } from "../../engine/secrets";

/** Made by the real CLI with the passphrase "pw". */
const salt = "v1:hUg1woM3adY=:v1:ks2N6xIIVvLMBz3n:bYJog9Nn0zFJj32bMqrPwGwakEvtHw==";

describe("Crypter", () => {
  let crypter: Crypter;
  before(async () => {
    crypter = await Crypter.open("pw", salt);
  });

  it("decrypts what the real CLI encrypted", () => {
    assert.equal(crypter.decrypt("v1:EB4uvUpsv5sE+pig:2QpPW2cRzlpT7XUcSCx55AbprWGL89Y="), "hunter2");
  });

  it("encrypts under a new nonce each time", () => {
    const [first, second] = [crypter.encrypt("é 🐘"), crypter.encrypt("é 🐘")];
    assert.notEqual(first, second);
    assert.equal(crypter.decrypt(first), "é 🐘");
  });

  it("refuses a wrong passphrase, and a text that was changed", async () => {
    await assert.rejects(Crypter.open("wrong", salt), /incorrect passphrase/);
    const [version, nonce, sealed = ""] = crypter.encrypt("text").split(":");
    const changed = `${version}:${nonce}:${Buffer.from(sealed, "base64").fill(0, 0, 1).toString("base64")}`;
    assert.throws(() => crypter.decrypt(changed), /made with another passphrase or changed since/);
  });

  it("makes a salt that opens again with the same passphrase", async () => {
    const made = await Crypter.create("other");
    const opened = await Crypter.open("other", made.salt);
    assert.equal(opened.decrypt(made.encrypt("x")), "x");
  });

  it("does not show its key", () => {
    assert.equal(
      inspect(crypter, { breakLength: Infinity, showHidden: true }),
      `Crypter { salt: '${salt}' }`,
    );
  });
});

describe("passphraseFrom", () => {
  it("takes the variable, even empty, before the file, whose blanks at the ends do not count", () => {
    const directory = mkdtempSync(join(tmpdir(), "osbackup-engine-"));
    try {
      const file = join(directory, "passphrase");
      writeFileSync(file, "from the file\n");
      const fromFile = { PULUMI_CONFIG_PASSPHRASE_FILE: file };
      assert.equal(passphraseFrom({ ...fromFile, PULUMI_CONFIG_PASSPHRASE: "" }), "");
      assert.equal(passphraseFrom(fromFile), "from the file");
      assert.equal(passphraseFrom({}), undefined);
      assert.throws(
        () => passphraseFrom({ PULUMI_CONFIG_PASSPHRASE_FILE: join(directory, "none") }),
        /ENOENT/,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
