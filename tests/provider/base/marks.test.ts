import assert from "node:assert/strict";
import {
  fromMetadata,
  fromTags,
  type Mark,
  runKey,
  stackOf,
  toMetadata,
  toTags,
} from "../../../provider/base/marks";

const mark: Mark = {
  owner: "shop/prod/pg, the 100% one",
  set: "pg",
  role: "recovery-point",
  slot: "2026-11-22T02:30:00Z",
  trigger: "before upgrade, again",
  time: "2026-11-22T02:30:00Z",
  takenAt: "2026-11-22T02:31:07Z",
};

describe("marks", () => {
  it("come back from Cinder metadata when they were written there", () => {
    assert.deepEqual(fromMetadata(toMetadata(mark)), mark);
  });

  it("come back from restic tags when they hold commas and percent signs, which restic would split at", () => {
    const tags = toTags(mark);
    assert.ok(
      tags.every(tag => !tag.includes(",")),
      tags.join(" "),
    );
    assert.deepEqual(fromTags(tags), mark);
  });

  it("are not seen on objects of others", () => {
    assert.equal(fromMetadata({ "osbackup-owner": "shop/prod/pg", "osbackup-role": "temporary" }), undefined);
    assert.equal(fromMetadata(undefined), undefined);
    assert.equal(fromTags(["owner=shop/prod/pg", "role=recovery-point"]), undefined);
  });

  it("take an instant that somebody has made unreadable for absent, in Cinder and in restic", () => {
    const unreadable = { ...mark, time: "soon", takenAt: "a while ago", expiresAt: "2026-13-45" };
    const { time: _, takenAt: __, expiresAt: ___, ...rest } = mark;
    assert.deepEqual(fromMetadata(toMetadata(unreadable)), rest);
    assert.deepEqual(fromTags(toTags(unreadable)), rest);
  });

  it("leave out what is absent", () => {
    assert.deepEqual(toMetadata({ owner: "a/b/c", set: "c", role: "temporary" }), {
      "managed-by": "pulumi-openstack-backup",
      "osbackup-owner": "a/b/c",
      "osbackup-set": "c",
      "osbackup-role": "temporary",
    });
  });

  it("tell runs apart by slot and trigger", () => {
    assert.equal(runKey({}), "unscheduled");
    assert.equal(runKey({ slot: "2026-11-22T02:30:00Z" }), "2026-11-22T02:30:00Z");
    assert.equal(runKey({ slot: "2026-11-22T02:30:00Z", trigger: "now" }), "2026-11-22T02:30:00Z+now");
  });

  it("name the stack of an owner", () => {
    assert.equal(stackOf("shop/prod/pg/data"), "shop/prod");
  });
});
