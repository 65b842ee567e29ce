import assert from "node:assert/strict";
import { coverageOf, type KnownSet, type Thing } from "../../../provider/operations/coverage";

const now = new Date("2026-11-28T12:00:00Z");

const volume = (id: string, more: Partial<Thing> = {}): Thing => ({
  kind: "volume",
  id,
  name: `${id}-name`,
  metadata: {},
  ...more,
});
const server = (id: string, more: Partial<Thing> = {}): Thing => ({ ...volume(id, more), kind: "server" });
const set = (name: string, of: string, more: Partial<KnownSet> = {}): KnownSet => ({
  name,
  kind: "snapshots",
  of,
  wholeServer: false,
  ...more,
});

const found = (things: Thing[], sets: KnownSet[]) =>
  coverageOf(things, sets, now).things.map(({ id, state, sets: names }) => [id, state, ...names].join(" "));

describe("coverage", () => {
  it("tells protected, twice and unprotected volumes, and sets that match nothing", () => {
    const sets = [
      set("a", "v1"),
      set("a", "v1", { kind: "backups" }),
      set("b", "v2"),
      set("c", "v2"),
      set("d", "gone"),
    ];
    assert.deepEqual(found([volume("v1"), volume("v2"), volume("v3")], sets), [
      "v1 protected a",
      "v2 twice b c",
      "v3 unprotected",
    ]);
    assert.deepEqual(coverageOf([volume("v1"), volume("v2")], sets, now).matchNothing, [set("d", "gone")]);
  });

  it("takes a server's snapshots for those of its volumes, and images for the server's alone", () => {
    const things = [server("s1", { bootsFromVolumes: ["v1"] }), volume("v1", { serverId: "s1" })];
    const whole = { wholeServer: true };
    assert.deepEqual(found(things, [set("a", "s1", whole)]), ["s1 protected a", "v1 protected a"]);
    assert.deepEqual(found(things, [set("a", "s1", { ...whole, kind: "images" })]), [
      "s1 protected a",
      "v1 unprotected",
    ]);
  });

  it("takes a server for protected whose volumes all are, where it has no other disk", () => {
    const both = [volume("v1", { serverId: "s1" }), volume("v2", { serverId: "s1" })];
    const booted = server("s1", { bootsFromVolumes: ["v1", "v2"] });
    assert.deepEqual(found([booted, ...both], [set("a", "v1"), set("b", "v2")])[0], "s1 protected a b");
    assert.deepEqual(found([booted, ...both], [set("a", "v1")])[0], "s1 unprotected");
    assert.deepEqual(found([server("s1"), ...both], [set("a", "v1"), set("b", "v2")])[0], "s1 unprotected");
  });

  it("leaves out what says why and until when", () => {
    const metadata = { backup: "none", "backup-reason": "cache", "backup-until": "2026-11-28" };
    const of = (more: Record<string, string>) =>
      coverageOf([volume("v1", { metadata: { ...metadata, ...more } })], [], now).things[0];
    assert.deepEqual([of({})?.state, of({})?.why], ["left out", "cache, until 2026-11-28"]);
    assert.deepEqual(
      [of({ "backup-until": "2026-11-27" })?.state, of({ "backup-until": "2026-11-27" })?.why],
      ["unprotected", "was left out of backups until 2026-11-27 (cache)"],
    );
    assert.equal(of({ "backup-reason": "" })?.why, "says backup: none without backup-reason");
    for (const day of ["soon", "31.3.2027", "2099-02-31"])
      assert.equal(
        of({ "backup-until": day })?.why,
        `has backup-until "${day}", which is no day such as 2027-03-31`,
      );
    const restored = { "osbackup-role": "restored", "osbackup-owner": "shop/prod/back" };
    const why = (metadata: Record<string, string>) =>
      coverageOf([volume("v1", { metadata })], [], now).things[0];
    assert.equal(why(restored)?.why, "a restore of shop/prod/back");
    assert.equal(why({ ...restored, "osbackup-restore-state": "kept" })?.state, "unprotected");
  });
});
