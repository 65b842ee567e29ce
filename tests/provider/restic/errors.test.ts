import assert from "node:assert/strict";
import { inspect } from "node:util";
import {
  classify,
  distill,
  ResticError,
  type ResticErrorKind,
  saysAbsent,
} from "../../../provider/restic/errors.js";

const where = "\nIs there a repository at the following location?\n";
const locked =
  "unable to create lock in backend: repository is already locked by PID 2028 on vm by root (UID 0, GID 0)\nlock was created at 2026-11-22 00:56:35 (4.216971813s ago)\nstorage ID 8cbe4724\nthe `unlock` command can be used to remove stale locks";

describe("classify", () => {
  const cases: [ResticErrorKind, string, number, string][] = [
    [
      "no-repository",
      "a local path of 0.14",
      1,
      `Fatal: unable to open config file: stat /srv/lab/none/config: no such file or directory${where}/srv/lab/none`,
    ],
    ["wrong-password", "a wrong password of 0.14", 1, "Fatal: wrong password or no key found"],
    ["wrong-password", "no password", 1, "Fatal: an empty password is not a password"],
    [
      "wrong-password",
      "a missing password file",
      1,
      "Resolving password failed: Fatal: /pw-none does not exist",
    ],
    ["locked", "a lock in 0.14", 1, locked],
    ["no-space", "a full disk", 1, "Fatal: unable to save snapshot: write /m/tmp-1: no space left on device"],
    ["no-space", "a quota", 1, "Fatal: unable to save snapshot: write /m/tmp-1: disk quota exceeded"],
    [
      "access-denied",
      "S3 with bad keys",
      1,
      `Fatal: unable to open config file: Stat: Access Denied.${where}s3:https://h/b`,
    ],
    [
      "access-denied",
      "REST with a bad password",
      1,
      `Fatal: unable to open config file: unexpected HTTP response (401): 401 Unauthorized${where}rest:https://u1:***@h/t/`,
    ],
    [
      "access-denied",
      "an append-only REST server",
      1,
      "Remove(<snapshot/6c8c34e3ac>) returned error, retrying after 552.330144ms: blob not removed, server response: 403 Forbidden (403)",
    ],
    ["access-denied", "an unreadable repository", 1, "open /srv/repo/snapshots: permission denied"],
    [
      "unreachable",
      "a closed port",
      1,
      `Fatal: unable to open config file: Stat: Head "http://127.0.0.1:17999/bucket/config": dial tcp 127.0.0.1:17999: connect: connection refused${where}s3:http://127.0.0.1:17999/bucket`,
    ],
    [
      "unreachable",
      "a certificate nobody trusts",
      1,
      'Fatal: create repository at s3:https://h/b failed: client.BucketExists: Head "https://h/b/": x509: certificate signed by unknown authority',
    ],
    [
      "unreachable",
      "an unknown host",
      1,
      "Fatal: unable to open config file: Stat: dial tcp: lookup nowhere: no such host",
    ],
    [
      "failed",
      "two inits at once",
      1,
      "Fatal: config or key 1234 is damaged: ciphertext verification failed",
    ],
    ["failed", "an unknown flag", 1, "unknown flag: --retry-lock"],
    [
      "no-repository",
      "exit code 10 of 0.17",
      10,
      "Fatal: repository does not exist: unable to open config file: whatever",
    ],
    ["locked", "exit code 11 of 0.17", 11, "whatever"],
    [
      "wrong-password",
      "exit code 12 of 0.17.1",
      12,
      '{"message_type":"exit_error","code":12,"message":"Fatal: x"}',
    ],
    ["cancelled", "an interrupt by someone else", 130, "signal interrupt received, cleaning up"],
    ["failed", "an exit code that nobody knows", 77, ""],
  ];
  for (const [kind, name, exitCode, text] of cases)
    it(`says "${kind}" to ${name}`, () => assert.equal(classify(exitCode, text, localPathIn(text)), kind));
});

const localPathIn = (text: string) => (text.includes("/srv/lab/none") ? "/srv/lab/none" : undefined);

describe("saysAbsent", () => {
  const fatal = (reason: string) => `Fatal: unable to open config file: ${reason}${where}url`;
  for (const reason of [
    "Stat: The specified key does not exist.",
    "<config/> does not exist",
    "Lstat: file does not exist",
    "conn.Object: Object Not Found",
  ])
    it(`is true for "${reason}"`, () => assert.equal(saysAbsent(fatal(reason), undefined), true));

  for (const reason of [
    "Stat: Access Denied.",
    "Stat: 404 Not Found",
    "unexpected HTTP response (401): 401 Unauthorized",
    "Stat: The Access Key Id you provided does not exist in our records.",
    "dial tcp 127.0.0.1:1: connect: connection refused",
    "stat /srv/repo/config: no such file or directory",
  ])
    it(`is false for "${reason}" of a server`, () =>
      assert.equal(saysAbsent(fatal(reason), undefined), false));

  it("takes only the config file of this very path for proof", () => {
    const text = fatal("stat /srv/repo/config: no such file or directory");
    assert.equal(saysAbsent(text, "/srv/repo"), true);
    assert.equal(saysAbsent(text, "/srv/other"), false);
    assert.equal(saysAbsent(fatal("stat /srv/repo/config: not a directory"), "/srv/repo"), false);
  });
});

describe("distill", () => {
  it("keeps the fatal line and drops the advice", () => {
    assert.equal(
      distill([
        "Fatal: unable to open config file: Stat: Access Denied.",
        "Is there a repository at the following location?",
        "s3:https://h/b",
      ]),
      "unable to open config file: Stat: Access Denied.",
    );
  });

  it("keeps the last retry when there is nothing else", () => {
    assert.equal(
      distill([
        "Save(<data/5d>) returned error, retrying after 5s: refused",
        "Save(<data/5d>) returned error, retrying after 9s: refused",
      ]),
      "Save(<data/5d>) returned error, retrying after 5s: refused; Save(<data/5d>) returned error, retrying after 9s: refused",
    );
  });

  it("leaves the stack traces of Go out", () => {
    assert.equal(
      distill([
        "Remove(<snapshot/6c>) returned error, retrying after 15.3s: blob not removed, server response: 403 Forbidden (403)",
        "unable to remove <snapshot/6c> from the repository",
        "blob not removed, server response: 403 Forbidden (403)",
        "github.com/restic/restic/internal/backend/rest.(*Backend).Remove",
        "\tgithub.com/restic/restic/internal/backend/rest/rest.go:399",
        "runtime.goexit",
        "\truntime/asm_amd64.s:1594",
      ]),
      "unable to remove <snapshot/6c> from the repository; blob not removed, server response: 403 Forbidden (403)",
    );
  });

  it("reads the reason from the exit_error of 0.18", () => {
    assert.equal(
      distill([
        '{"message_type":"exit_error","code":1,"message":"Fatal: unable to save snapshot: no space left on device"}',
      ]),
      "unable to save snapshot: no space left on device",
    );
  });

  it("is at most 800 characters long", () =>
    assert.equal(distill([`Fatal: ${"x".repeat(9000)}`]).length, 801));
});

describe("ResticError", () => {
  it("is inspected with no more than its own fields", () => {
    const error = new ResticError("locked", "opening x: locked", { exitCode: 11 });
    assert.deepEqual(
      { ...error },
      {
        name: "ResticError",
        kind: "locked",
        exitCode: 11,
        locks: [],
        remaining: [],
        made: undefined,
        damaged: false,
      },
    );
    assert.match(inspect(error), /^ResticError: opening x: locked/);
  });
});
