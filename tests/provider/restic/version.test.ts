import assert from "node:assert/strict";
import { isAtLeast, parseVersion, supports } from "../../../provider/restic/version.js";

const version = (text: string) => {
  const parsed = parseVersion(`restic ${text} compiled with go1.19.8 on linux/amd64`);
  assert.ok(parsed);
  return parsed;
};

describe("ResticVersion", () => {
  it("is read from plain text, which restic 0.14 prints even with --json", () => {
    assert.deepEqual(parseVersion("restic 0.14.0 compiled with go1.19.8 on linux/amd64\n"), {
      major: 0,
      minor: 14,
      patch: 0,
      text: "0.14.0",
    });
  });

  it("is read from JSON, which restic 0.17 and newer print", () => {
    const json =
      '{"message_type":"version","version":"0.19.1-dev (compiled manually)","go_version":"go1.24"}';
    assert.deepEqual(parseVersion(json), { major: 0, minor: 19, patch: 1, text: "0.19.1" });
  });

  it("is undefined when another program answers", () => {
    assert.equal(parseVersion("rustic 0.11.4"), undefined);
    assert.equal(parseVersion(""), undefined);
  });

  it("compares each part as a number", () => {
    assert.equal(isAtLeast(version("0.9.6"), "0.14.0"), false);
    assert.equal(isAtLeast(version("0.14.0"), "0.14.0"), true);
    assert.equal(isAtLeast(version("0.17.0"), "0.17.1"), false);
    assert.equal(isAtLeast(version("1.0.0"), "0.17.1"), true);
  });

  it("has --retry-lock and snapshot:folder from 0.16 on", () => {
    assert.equal(supports(version("0.15.2"), "retryLock"), false);
    assert.equal(supports(version("0.16.0"), "retryLock"), true);
    assert.equal(supports(version("0.15.2"), "subfolder"), false);
    assert.equal(supports(version("0.16.0"), "subfolder"), true);
  });
});
