import assert from "node:assert/strict";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { childEnvironment, resolveAccess, secondaryEnvironment } from "../../../provider/restic/access.js";
import { isKind, type ResticError } from "../../../provider/restic/errors.js";
import { locate } from "../../../provider/restic/location.js";
import { maskUrl, redactor, weakPassword } from "../../../provider/restic/redact.js";

describe("RepositoryAccess", () => {
  it("puts url, password and keys into the environment and nothing of it into the arguments", () => {
    const access = resolveAccess({
      url: "rest:https://user:hunter22@host/repo/",
      password: "open sesame",
      environment: { AWS_SECRET_ACCESS_KEY: "wJalrXUtn" },
      caCertFile: "/etc/ca.pem",
    });
    assert.deepEqual(access.arguments, ["--cacert", "/etc/ca.pem"]);
    const environment = childEnvironment(access, { PWD: "/mnt/x" });
    assert.equal(environment.RESTIC_REPOSITORY, "rest:https://user:hunter22@host/repo/");
    assert.equal(environment.RESTIC_PASSWORD, "open sesame");
    assert.equal(environment.AWS_SECRET_ACCESS_KEY, "wJalrXUtn");
    assert.equal(environment.TZ, "UTC");
    assert.equal(environment.PWD, "/mnt/x");
    assert.equal(access.shownUrl, "rest:https://user:***@host/repo/");
  });

  it("does not hand on the credentials of this process", () => {
    process.env.AWS_ACCESS_KEY_ID = "of-another-cloud";
    process.env.RESTIC_PASSWORD_FILE = "/of/another";
    try {
      const environment = childEnvironment(resolveAccess({ url: "/srv/repo", password: "pass" }), {});
      assert.equal(environment.AWS_ACCESS_KEY_ID, undefined);
      assert.equal(environment.RESTIC_PASSWORD_FILE, undefined);
      assert.equal(environment.PATH, process.env.PATH);
    } finally {
      delete process.env.AWS_ACCESS_KEY_ID;
      delete process.env.RESTIC_PASSWORD_FILE;
    }
  });

  it("makes relative paths absolute, since a backup runs in the volume's directory", () => {
    const access = resolveAccess({ url: "/repo", passwordFile: "password", caCertFile: "ca.pem" });
    assert.equal(access.environment.RESTIC_PASSWORD_FILE, resolve("password"));
    assert.deepEqual(access.arguments, ["--cacert", resolve("ca.pem")]);
  });

  it("takes whole paths and restic's own schemes, and refuses what would become a folder, with the nearest meaning", () => {
    for (const url of [
      "/srv/restic",
      "s3:s3.amazonaws.com/b",
      "sftp:u@h:/p",
      "rclone:r:p",
      "swift:c:/p",
      "b2:b",
    ])
      assert.deepEqual(locate(url), { url, localPath: url.startsWith("/") ? url : undefined });
    assert.deepEqual(locate("local:/srv/../srv/restic/"), { url: "/srv/restic", localPath: "/srv/restic" });
    const refused = {
      "s3.example.com/bucket": /needs its scheme, such as s3:https:\/\/host\/bucket$/,
      "https://s3.example.com/bucket": /s3:https:\/\/…, a REST server is rest:https:\/\/…$/,
      "~/backups": new RegExp(`such as ${homedir()}/backups$`),
      backups: /whole path, such as \/srv\/backups$/,
      "local:backups": /whole path, such as \/srv\/backups$/,
      "S3:https://host/b": /did you mean s3:, in small letters\?$/,
      "ftp://host/b": /restic has no backend ftp:$/,
      "ssh://u@host/b": /did you mean sftp:user@host:\/path\?$/,
      "user@host:/srv/b": /did you mean sftp:user@host:\/path\?$/,
      "file:///srv/b": /without file:\/\/\?$/,
    };
    for (const [url, words] of Object.entries(refused)) {
      assert.match(String(locate(url)), words, url);
      assert.throws(
        () => resolveAccess({ url, password: "pass" }),
        /opening a repository: its url is neither/,
      );
    }
    assert.doesNotMatch(String(locate("https://user:hunter2@host/b")), /hunter2/);
  });

  it("has one key for every way to write a repository", () => {
    const key = (url: string) => resolveAccess({ url, password: "pass" }).key;
    assert.equal(key("/srv/repo"), key("local:/srv/./repo/"));
    assert.equal(key("rest:https://a:b@host/repo"), key("rest:https://host/repo/"));
    assert.notEqual(key("s3:https://host/a"), key("s3:https://host/b"));
  });

  it("refuses no password and two passwords", () => {
    const message = (error: unknown) => {
      assert.ok(isKind(error, "wrong-password"));
      return error.message;
    };
    try {
      resolveAccess({ url: "/srv/repo" });
      assert.fail();
    } catch (error) {
      assert.equal(
        message(error),
        "opening /srv/repo: no password is given; set one of password (RESTIC_PASSWORD), passwordFile (RESTIC_PASSWORD_FILE) and passwordCommand (RESTIC_PASSWORD_COMMAND)",
      );
    }
    try {
      resolveAccess({ url: "/srv/repo", password: "a", passwordFile: "/b" });
      assert.fail();
    } catch (error) {
      assert.equal(
        message(error),
        "opening /srv/repo: more than one password (RESTIC_PASSWORD, RESTIC_PASSWORD_FILE) is given; set one of password (RESTIC_PASSWORD), passwordFile (RESTIC_PASSWORD_FILE) and passwordCommand (RESTIC_PASSWORD_COMMAND)",
      );
    }
  });

  it("takes a password from the environment record", () => {
    const access = resolveAccess({
      url: "/srv/repo",
      environment: { RESTIC_PASSWORD_COMMAND: "cat /run/p" },
    });
    assert.equal(access.environment.RESTIC_PASSWORD_COMMAND, "cat /run/p");
  });

  it("refuses variables that would redirect restic", () => {
    for (const name of ["RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE", "RESTIC_FROM_REPOSITORY", "TZ", "PWD"])
      assert.throws(() => resolveAccess({ url: "/r", password: "p", environment: { [name]: "x" } }), {
        message: `opening /r: environment must not contain ${name}`,
      });
  });

  it("copies with the keys of both sides, unless they contradict each other", () => {
    const target = resolveAccess({
      url: "s3:https://a/b",
      password: "one1",
      environment: { AWS_ACCESS_KEY_ID: "key-a" },
    });
    const source = (id: string) =>
      resolveAccess({
        url: "s3:https://c/d",
        passwordFile: "/p",
        environment: { AWS_ACCESS_KEY_ID: id, AWS_REGION: "eu" },
      });
    assert.deepEqual(secondaryEnvironment(target, source("key-a")), {
      RESTIC_FROM_REPOSITORY: "s3:https://c/d",
      RESTIC_FROM_PASSWORD_FILE: "/p",
      AWS_REGION: "eu",
    });
    assert.throws(
      () => secondaryEnvironment(target, source("key-c")),
      (error: ResticError) =>
        error.message.startsWith(
          "copying from s3:https://c/d to s3:https://a/b: both need their own AWS_ACCESS_KEY_ID",
        ),
    );
  });
});

describe("redactor", () => {
  it("masks secrets as they are, in JSON, in a Go string and in a URL", () => {
    const redact = redactor(['pa"ss word']);
    assert.equal(redact('a pa"ss word b'), "a *** b");
    assert.equal(redact('{"x":"pa\\"ss word"}'), '{"x":"***"}');
    assert.equal(redact("https://h/?p=pa%22ss%20word&q"), "https://h/?p=***&q");
  });

  it("masks the longer secret first and leaves those below 4 characters alone", () => {
    const redact = redactor(["pass", "passphrases", "abc"]);
    assert.equal(redact("passphrases pass abc"), "*** *** abc");
  });

  it("masks a secret that could be a word only where it stands as one", () => {
    const redact = redactor(["horse", "horse2"]);
    assert.equal(redact("horse, seahorse, horses and ahorse2b"), "***, seahorse, horses and a***b");
  });

  it("leaves the words of our own messages alone", () => {
    assert.equal(
      redactor(["password", "Repository"])("check the repository's password"),
      "check the repository's password",
    );
  });
});

describe("weakPassword", () => {
  it("refuses what could not be kept out of messages, without showing it", () => {
    assert.equal(weakPassword("abc1234"), "it has 7 characters, the least is 8: take another one");
    assert.match(weakPassword("Password") ?? "", /^it is a word that messages are full of/);
    assert.doesNotMatch(weakPassword("snapshots") ?? "", /snapshots/);
    assert.equal(weakPassword("abc12345"), undefined);
  });
});

describe("maskUrl", () => {
  it("masks the password of any URL, with an @ in it too", () => {
    assert.equal(
      maskUrl("open rest:https://u:p@ss@h:8000/r failed"),
      "open rest:https://u:***@h:8000/r failed",
    );
    assert.equal(maskUrl("s3:https://host:9000/bucket"), "s3:https://host:9000/bucket");
    assert.equal(maskUrl("sftp:user@host:/srv"), "sftp:user@host:/srv");
  });
});
