import assert from "node:assert/strict";
import {
  noPlaintextSecrets,
  repositoryAllowList,
  repositoryEncryptedAndPrivate,
  requiredMetadata,
  temporaryVolumeCleanup,
} from "../../../sdk/policy";
import { readRepositoryUrl } from "../../../sdk/policy/repository-url";
import { type Examined, examine, remediate, unknownStringValue } from "./examine";

const repository = (url: string, more = {}): Examined => ({
  type: "ResticRepository",
  name: "store",
  props: { url, password: "correct-horse", ...more },
});

describe("a repository's url", () => {
  const cases: [url: string, scheme: string, host: string, bucket: string, shown: string][] = [
    ["/srv/restic", "local", "", "", "/srv/restic"],
    ["local:/srv/restic", "local", "", "", "local:/srv/restic"],
    [
      "s3:https://s3.example.com/backups/a",
      "s3:https",
      "s3.example.com",
      "backups",
      "s3:https://s3.example.com/backups/a",
    ],
    [
      "s3:s3.example.com/backups",
      "s3:https",
      "s3.example.com",
      "backups",
      "s3:https://s3.example.com/backups",
    ],
    ["s3:http://10.0.0.1:9000/b", "s3:http", "10.0.0.1", "b", "s3:http://10.0.0.1:9000/b"],
    ["rest:http://me:pw@host:8000/a/", "rest:http", "host", "", "rest:http://host:8000/a/"],
    ["sftp:me@host:/srv/restic", "sftp", "host", "", "sftp:host:/srv/restic"],
    ["sftp://me@host:22//srv", "sftp", "host", "", "sftp://host:22//srv"],
    ["b2:bucket:path", "b2", "", "bucket", "b2:bucket:path"],
    ["swift:container:/a", "swift", "", "container", "swift:container:/a"],
  ];
  for (const [url, scheme, host, bucket, shown] of cases)
    it(`is taken apart: ${url}`, () => {
      const read = readRepositoryUrl(url);
      assert.deepEqual([read.scheme, read.host, read.bucket, read.shown], [scheme, host, bucket, shown]);
      assert.equal(read.hasPassword, url.includes("pw@"));
    });
});

describe("repository-encrypted-and-private", () => {
  const check = (examined: Examined) => examine(repositoryEncryptedAndPrivate, examined);

  it("accepts encrypted ways, and a folder unless it is taken out", () => {
    for (const url of ["s3:https://s3.example.com/b", "sftp:h:/b", "rest:https://h/", "/srv/restic"])
      assert.deepEqual(check(repository(url)), []);
    const config = { allowedSchemes: ["s3:https"] };
    assert.deepEqual(check({ ...repository("/srv/restic"), config }), [
      "store: url /srv/restic is reached by local; allowed are s3:https",
    ]);
  });

  it("reports plain ways, of the copy and of a set's own repository too", () => {
    const allowed = "allowed are s3:https, rest:https, sftp, swift, b2, azure, gs, local";
    assert.deepEqual(check(repository("/srv/r", { copyTo: { url: "rest:http://host/r" } })), [
      `store: copyTo.url rest:http://host/r is reached by rest:http; ${allowed}`,
    ]);
    const props = { repository: { url: "s3:http://me:secret@host/b" } };
    assert.deepEqual(check({ type: "ResticBackup", props }), [
      `db: repository.url s3:http://host/b is reached by s3:http; ${allowed}`,
    ]);
    assert.deepEqual(check({ type: "CinderSnapshot", props }), []);
  });

  it("reports hosts that are refused", () => {
    assert.deepEqual(
      check({ ...repository("sftp:backup.example.org:/b"), config: { denyHosts: ["*.example.org"] } }),
      [
        "store: url sftp:backup.example.org:/b is on backup.example.org, which repository-encrypted-and-private.denyHosts refuses",
      ],
    );
  });

  it("waits for a url that is not known", () => {
    assert.throws(() => check(repository(unknownStringValue)), /can't be known during preview/);
  });
});

describe("repository-allow-list", () => {
  const check = (examined: Examined, config: object) =>
    examine(repositoryAllowList, { ...examined, config: { ...config } });

  it("allows all where nothing is listed", () => {
    assert.deepEqual(check(repository("s3:https://anywhere.example.com/b"), {}), []);
  });

  it("reports another host, bucket or region, and none named", () => {
    const s3 = repository("s3:https://s3.eu.example.com/logs", {
      environment: { AWS_DEFAULT_REGION: "us-1" },
    });
    assert.deepEqual(check(s3, { hosts: ["*.eu.example.com"], buckets: ["backups-*"], regions: ["eu-*"] }), [
      "store: url s3:https://s3.eu.example.com/logs is of bucket logs; allowed are backups-* (repository-allow-list.buckets)",
      "store: url s3:https://s3.eu.example.com/logs is of region us-1; allowed are eu-* (repository-allow-list.regions)",
    ]);
    assert.deepEqual(check(repository("/srv/restic"), { hosts: ["*.eu.example.com"], regions: ["eu-*"] }), [
      "store: url /srv/restic is of host local; allowed are *.eu.example.com (repository-allow-list.hosts)",
    ]);
    assert.deepEqual(check(repository("sftp:h:/b"), { regions: ["eu-*"] }), [
      "store: url sftp:h:/b names no region; allowed are eu-* (repository-allow-list.regions)",
    ]);
  });
});

describe("no-plaintext-secrets", () => {
  const check = (examined: Examined) => examine(noPlaintextSecrets, examined);

  it("accepts secrets where they belong, and words about them", () => {
    const props = {
      url: "s3:https://h/b",
      password: "correct-horse-battery",
      environment: { AWS_ACCESS_KEY_ID: "AKIAABCDEFGHIJKLMNOP", AWS_SECRET_ACCESS_KEY: "x".repeat(40) },
      passwordFile: "/run/secrets/token=file",
    };
    assert.deepEqual(check({ type: "ResticRepository", props }), []);
    assert.deepEqual(check({ props: { description: "where the password of the shop is kept" } }), []);
    assert.deepEqual(check({ type: "aws:s3:Bucket", props: { tags: { note: "password=hunter22" } } }), []);
  });

  it("reports them elsewhere, and never shows them", () => {
    const found = check({
      name: "db",
      props: {
        metadata: { note: "password: hunter2222", key: "AKIAABCDEFGHIJKLMNOP" },
        description: "-----BEGIN OPENSSH PRIVATE KEY-----",
      },
    });
    assert.deepEqual(found, [
      "db: metadata.note looks like a secret in plain text",
      "db: metadata.key looks like a secret in plain text",
      "db: description looks like a secret in plain text",
    ]);
    const props = {
      repository: { url: "rest:https://me:correct-horse@h/", password: "correct-horse" },
      host: "web-correct-horse",
    };
    assert.deepEqual(check({ type: "ResticBackup", name: "db", props }), [
      "db: repository.url has the value of repository.password in it",
      "db: host has the value of repository.password in it",
      "db: repository.url rest:https://h/ has a password in it: give it by environment, where the store takes it so",
    ]);
    assert.deepEqual(
      check({ type: "ResticRepository", props: { url: "/r", passwordCommand: "echo hunter2" } }),
      ["db: passwordCommand prints what stands in it: have it read a file or a vault"],
    );
  });

  it("leaves out what is not known, and says which pattern is none", () => {
    const props = { volumeId: unknownStringValue, metadata: { note: "token=abcdef" } };
    assert.deepEqual(check({ props }), ["db: metadata.note looks like a secret in plain text"]);
    assert.throws(
      () => check({ props, config: { patterns: ["("] } }),
      /no-plaintext-secrets\.patterns: '\(' is no regular/,
    );
  });
});

describe("required-metadata", () => {
  const config = { keys: ["owner", "tier"], defaults: { tier: "bronze" } };

  it("asks for nothing by default", () => {
    assert.deepEqual(examine(requiredMetadata, { props: {} }), []);
  });

  it("reports what lacks, of what is made in the cloud", () => {
    const props = { metadata: { owner: "", tier: "gold" } };
    assert.deepEqual(examine(requiredMetadata, { props, config }), [
      "db has no metadata owner (required-metadata.keys)",
    ]);
    assert.deepEqual(examine(requiredMetadata, { type: "ResticBackup", props: {}, config }), []);
  });

  it("gives a key its default, and touches nothing else, also where the volume is not known yet", () => {
    const props = { volumeId: unknownStringValue, metadata: { owner: "shop" } };
    assert.deepEqual(remediate(requiredMetadata, { props, config }), {
      volumeId: unknownStringValue,
      metadata: { owner: "shop", tier: "bronze" },
    });
    assert.equal(
      remediate(requiredMetadata, { props: { metadata: { owner: "a", tier: "b" } }, config }),
      undefined,
    );
  });
});

describe("temporary-volume-cleanup", () => {
  it("reports one that may lie about for long", () => {
    const check = (hours: number) =>
      examine(temporaryVolumeCleanup, {
        type: "TemporaryVolume",
        props: { expiresAfterSeconds: hours * 3600 },
      });
    assert.deepEqual(check(48), []);
    assert.deepEqual(check(100), [
      "db expires after 100 hours; at most 72 are allowed (expiresAfterSeconds)",
    ]);
  });
});
