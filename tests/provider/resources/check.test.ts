import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { World } from "../../../provider/driver/world";
import { check } from "../../../provider/resources/check";
import { diff } from "../../../provider/resources/diff";
import { registry } from "../../../provider/resources/registry";
import type { ResourceType } from "../../../provider/resources/resource";
import { unknown } from "../../../provider/resources/unknown";

const owner = "shop/prod/pg";

describe("check", () => {
  let cloud: Devcloud;
  let volumeId: string;
  let printed: string[];

  before(async () => {
    cloud = await startDevcloud();
    volumeId = (await cloud.addVolume({ name: "pg", sizeBytes: 1 << 20 })).id;
  });
  after(() => cloud.stop());
  beforeEach(() => {
    printed = [];
  });

  const context = (now = "2026-11-22T10:10:00Z", environment: NodeJS.ProcessEnv = cloud.environment) =>
    new World({}, line => printed.push(line), { ...environment, OSBACKUP_NOW: now }).context("pg");

  const of = (name: string) => registry[name] as ResourceType;

  async function refusals(type: string, news: Record<string, unknown>): Promise<string[]> {
    const checked = await check(of(type), undefined, { owner, ...news }, context());
    return checked.refusals.map(({ property, reason }) => `${property}: ${reason}`);
  }

  it("fills in the defaults and the newest slot that has passed", async () => {
    const { inputs, refusals } = await check(
      of("CinderSnapshot"),
      undefined,
      { owner, volumeId, schedule: "30 2 * * *", timeZone: "Europe/Berlin" },
      context(),
    );
    assert.deepEqual(refusals, []);
    assert.deepEqual(inputs, {
      owner,
      volumeId,
      schedule: "30 2 * * *",
      timeZone: "Europe/Berlin",
      paused: false,
      slot: "2026-11-22T01:30:00Z",
      retention: { keepLast: 3, keepForDays: 7 },
      namePrefix: "backup",
      force: true,
      timeoutSeconds: 600,
      metadata: {},
      deletionPolicy: "delete",
    });
  });

  it("never goes back behind the slot of the old inputs", async () => {
    const olds = { owner, volumeId, slot: "2026-11-22T10:00:00Z" };
    const news = { owner, volumeId, schedule: "0 * * * *" };
    const { inputs } = await check(of("CinderSnapshot"), olds, news, context("2026-11-22T08:00:00Z"));
    assert.equal(inputs.slot, "2026-11-22T10:00:00Z");
  });

  it("keeps the slot while paused, and with a count of 0", async () => {
    const olds = { owner, volumeId, slot: "2026-11-21T10:00:00Z" };
    for (const news of [{ schedule: "0 * * * *", paused: true }, { schedule: "0@0-23" }]) {
      const { inputs } = await check(of("CinderSnapshot"), olds, { owner, volumeId, ...news }, context());
      assert.equal(inputs.slot, "2026-11-21T10:00:00Z");
    }
  });

  it("takes Snapmanager's count for the whole retention where none is given", async () => {
    const retentionFor = async (schedule: string) =>
      (await check(of("CinderSnapshot"), undefined, { owner, volumeId, schedule }, context())).inputs
        .retention;
    assert.deepEqual(await retentionFor("5@mon-fri@2"), { keepLast: 5 });
    assert.deepEqual(await retentionFor("0 2 * * *"), { keepLast: 3, keepForDays: 7 });
    assert.equal(await retentionFor("0@mon-fri@2"), undefined);
  });

  it("refuses keepTags for Cinder snapshots, which carry none", async () => {
    assert.deepEqual(
      await refusals("CinderSnapshot", { volumeId, retention: { keepLast: 1, keepTags: [["a"]] } }),
      ["retention.keepTags: restic's points alone carry tags, use it on ResticBackup"],
    );
  });

  it("names an unknown property and the one that was meant", async () => {
    assert.deepEqual(await refusals("CinderSnapshot", { volumeId, shedule: "daily" }), [
      "shedule: CinderSnapshot has no property 'shedule', did you mean 'schedule'?",
    ]);
  });

  it("puts every problem under its own path, with the value", async () => {
    assert.deepEqual(
      await refusals("CinderSnapshot", { timeoutSeconds: "soon", retention: { keepLast: -1, keepdaily: 3 } }),
      [
        "volumeId: is required, a string",
        "retention.keepLast: Too small: expected number to be >=0 (is -1)",
        "retention: has no property 'keepdaily', did you mean 'keepDaily'?",
        'timeoutSeconds: Invalid input: expected number, received string (is "soon")',
      ],
    );
  });

  it("spells the place in a list as programs do", async () => {
    const given = {
      snapshotId: "",
      temporaryVolume: { owner },
      repository: { url: "/r", passwordFile: "/p" },
    };
    const is = 'must be a restic id, or its first 8 digits or more (is "nonsense")';
    assert.deepEqual(await refusals("ResticBackup", { ...given, adoptIds: ["0123abcd", "nonsense"] }), [
      `adoptIds[1]: ${is}`,
    ]);
    assert.deepEqual(await refusals("CinderSnapshot", { volumeId, retention: { keepTags: [["a"], [7]] } }), [
      "retention.keepTags[1][0]: Invalid input: expected string, received number (is 7)",
    ]);
  });

  it("refuses to allow what is later than now, but for what clocks may differ", async () => {
    const given = {
      snapshotId: "",
      temporaryVolume: { owner },
      repository: { url: "/r", passwordFile: "/p" },
    };
    const tried = async (more: Record<string, unknown>) =>
      (await refusals("ResticBackup", { ...given, ...more })).filter(line => !line.startsWith("repository"));
    const words =
      "must not be later than now, 2026-11-22T10:10:00Z: it would cover points that nobody has seen yet;";
    assert.deepEqual(
      await tried({ allowShrink: "2099-01-01T00:00:00Z", acknowledgeChange: "2026-11-22T13:11:00+02:00" }),
      [
        `allowShrink: ${words} give the slot of the shrunk point, or true, which turns the guard off (is "2099-01-01T00:00:00Z")`,
        `acknowledgeChange: ${words} give the slot of the point that was looked at (is "2026-11-22T13:11:00+02:00")`,
      ],
    );
    const late = "2026-11-22T11:09:00Z";
    assert.deepEqual(await tried({ allowShrink: late, acknowledgeChange: late }), []);
    assert.deepEqual(await tried({ allowShrink: true }), []);
  });

  it("refuses an impossible schedule with the remedy", async () => {
    const [refusal] = await refusals("CinderSnapshot", { volumeId, schedule: "7@mon-xyz" });
    assert.match(refusal ?? "", /^schedule: .*7@mon-xyz.*xyz/);
  });

  it("refuses a retention that would keep nothing", async () => {
    const [refusal] = await refusals("CinderSnapshot", { volumeId, retention: { keepLast: 0 } });
    assert.match(refusal ?? "", /^retention/);
  });

  it("refuses a volume that does not exist, before anything is made", async () => {
    const before = cloud.snapshots().length;
    const [refusal] = await refusals("CinderSnapshot", { volumeId: "00000000-0000-0000-0000-00000000dead" });
    assert.equal(
      refusal,
      `volumeId: volume 00000000-0000-0000-0000-00000000dead does not exist in project ${cloud.projectId("demo")}, look it up with \`openstack volume list\``,
    );
    assert.equal(cloud.snapshots().length, before);
  });

  it("says that the login failed when the credentials are wrong", async () => {
    const { refusals: found } = await check(
      of("CinderSnapshot"),
      undefined,
      { owner, volumeId },
      context(undefined, { ...cloud.environment, OS_PASSWORD: "not-the-password" }),
    );
    assert.equal(found[0]?.property, "cloud");
    assert.match(found[0]?.reason ?? "", /^failed to authenticate with OpenStack: /);
    assert.ok(!JSON.stringify(found).includes("not-the-password"));
  });

  it("warns and goes on when the cloud cannot be reached", async () => {
    const { refusals: found } = await check(
      of("CinderSnapshot"),
      undefined,
      { owner, volumeId },
      context(undefined, { ...cloud.environment, OS_AUTH_URL: "http://127.0.0.1:9/v3" }),
    );
    assert.deepEqual(found, []);
    assert.match(printed.join("\n"), /^warning: \[pg\] the cloud cannot be asked now/);
  }).timeout(60_000);

  it("leaves values alone that a preview does not know yet", async () => {
    const { inputs, refusals: found } = await check(
      of("TemporaryVolume"),
      undefined,
      { owner, snapshotId: unknown, slot: "2026-11-22T10:00:00Z" },
      context(),
    );
    assert.deepEqual(found, []);
    assert.equal(inputs.snapshotId, unknown);
    assert.equal(inputs.timeoutSeconds, 300);
  });

  for (const property of ["checkSchedule", "pruneSchedule", "copySchedule", "timeZone"])
    it(`settles no slot of a repository while ${property} is unknown`, async () => {
      const { inputs, refusals: found } = await check(
        of("ResticRepository"),
        { owner, url: "/srv/restic" },
        {
          owner,
          url: "/srv/restic",
          password: "correct-horse-battery",
          copyTo: { url: "/srv/copy", password: "correct-horse-battery" },
          checkSchedule: "daily",
          pruneSchedule: "daily",
          copySchedule: "daily",
          [property]: unknown,
        },
        context(),
      );
      assert.deepEqual(found, []);
      assert.equal(inputs[property], unknown);
      assert.deepEqual(
        [inputs.checkSlot, inputs.pruneSlot, inputs.copySlot],
        [undefined, undefined, undefined],
      );
    });

  it("asks for exactly one way to a repository's password", async () => {
    assert.deepEqual(await refusals("ResticRepository", { url: "/srv/restic" }), [
      "password: a repository needs one of password, passwordFile and passwordCommand",
    ]);
    assert.deepEqual(await refusals("ResticRepository", { url: "/r", password: "a", passwordFile: "/b" }), [
      "password: give one of password and passwordFile, not both",
    ]);
  });

  it("takes null for absent, as Pulumi spells what a secret lacks", async () => {
    const { inputs, refusals } = await check(
      registry.ResticRepository as ResourceType,
      { owner: "shop/prod/r" },
      { owner: "shop/prod/r", url: "/srv/r", password: null, passwordFile: "/etc/r", copyTo: null },
      context(),
    );
    assert.deepEqual(refusals, []);
    assert.ok(!("password" in inputs) && !("copyTo" in inputs));
  });

  it("refuses nothing for what another resource could not give, because it failed in this run", async () => {
    const before = { owner, snapshotId: "s1", slot: "2026-11-22T10:00:00Z", set: "pg" };
    const existing = await check(of("TemporaryVolume"), before, { owner, set: "pg" }, context());
    assert.deepEqual(existing.refusals, []);
    assert.deepEqual([existing.inputs.snapshotId, existing.inputs.slot], ["s1", "2026-11-22T10:00:00Z"]);

    const news = {
      owner,
      repository: { url: "/r", passwordFile: "/p" },
      temporaryVolume: { timeoutSeconds: 3 },
    };
    const fresh = await check(of("ResticBackup"), {}, { ...news, onFailure: "cleanup" }, context());
    assert.deepEqual(fresh.refusals, []);
    assert.ok(!("snapshotId" in fresh.inputs) && !("temporaryVolume" in fresh.inputs));
    const wrong = await check(of("TemporaryVolume"), before, { owner, snapshotId: 7 }, context());
    assert.equal(wrong.refusals.length, 1);
  });

  it("never shows the value of a secret", async () => {
    const [refusal] = await refusals("ResticRepository", { url: "/srv/restic", password: 12345678 });
    assert.equal(refusal, "password: Invalid input: expected string, received number");
    const nested = await refusals("ResticBackup", {
      snapshotId: "",
      temporaryVolume: { owner },
      repository: { url: "/srv/restic", password: 12345678 },
    });
    assert.deepEqual(nested, ["repository.password: Invalid input: expected string, received number"]);
  });
});

describe("diff", () => {
  const type = registry.TemporaryVolume as ResourceType;
  const state = {
    owner,
    snapshotId: "s1",
    slot: "2026-11-22T10:00:00Z",
    timeoutSeconds: 300,
    expiresAfterSeconds: 1,
  };
  const context = () => new World({}, () => {}, {}).context("pg");

  it("finds nothing when nothing changed", async () => {
    assert.deepEqual(await diff(type, { ...state, volumeId: "v1" }, { ...state }, context()), {
      changed: [],
      replaces: [],
      drift: [],
    });
  });

  it("replaces for an optional input that says so", async () => {
    const restore = registry.VolumeRestore as ResourceType;
    const news = { owner, snapshotId: "s2", name: "b" };
    assert.deepEqual(await diff(restore, { owner, snapshotId: "s1", name: "a" }, news, context()), {
      changed: ["snapshotId", "name"],
      replaces: ["snapshotId"],
      drift: [],
    });
  });

  it("changes in place for an unknown snapshot when the slot moved, and not when it did not", async () => {
    const moved = { ...state, snapshotId: unknown, slot: "2026-11-22T11:00:00Z" };
    assert.deepEqual(await diff(type, state, moved, context()), {
      changed: ["snapshotId", "slot"],
      replaces: [],
      drift: [],
    });
    assert.deepEqual((await diff(type, state, { ...state, snapshotId: unknown }, context())).changed, []);
  });
});
