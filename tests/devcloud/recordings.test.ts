import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import path from "node:path";
import { type Devcloud, startDevcloud } from "../../devcloud";
import { Client } from "./client";

/** One recorded request and answer of a real Keystone 30 and Cinder 29, or the statuses that a thing went through. */
interface Recording {
  case: string;
  who?: string;
  request?: { method: string; url: string; headers: Record<string, string>; body: unknown };
  response?: { status: number; headers: Record<string, string>; body: unknown };
  url?: string;
  timeline?: (string | number)[];
}

function recordings(service: string): Recording[] {
  const file = path.join(__dirname, "../fixtures/openstack/recordings", `${service}.jsonl`);
  return readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map(line => JSON.parse(line) as Recording);
}

const recordedCinder = "http://127.0.0.1:18776";
const recordedKeystone = "http://127.0.0.1:15000";
const recordedDemo = "19f8ab3acb5144b38a6d5cea67111b83";
const recordedAdmin = "f58ca99a9b1341c598670f7c86cdfba9";

/** Recorded answers that devcloud does not give, and why. */
const notReplayed: Record<string, string> = {
  "cinder-436-pools-admin":
    "a pool says what its driver can do; only the NFS driver's words are copied (own test below)",
  "cinder-437-extensions": "a fixed list of 30 names that no client needs; devcloud lists four of them",
};

/** Fields of an attachment that depend on the driver; the recorded ones are mostly RBD's. They are not compared. */
const driverFields = [
  ...[
    "name",
    "hosts",
    "ports",
    "cluster_name",
    "auth_enabled",
    "auth_username",
    "secret_type",
    "secret_uuid",
  ],
  ...["volume_id", "discard", "driver_volume_type", "export", "options", "format", "mount_point_base"],
];
const driverCases = /^cinder-(314|325|326|331|335|343)-/;

const settled = [
  "available",
  "error",
  "in-use",
  "reserved",
  "attaching",
  "awaiting-transfer",
  "error_deleting",
];
const works = [
  "creating volume",
  "deleting volume",
  "creating snapshot",
  "deleting snapshot",
  "extending volume",
  "reverting volume",
] as const;

/** A devcloud in the state of the recorded cloud, with the recorded ids translated to its own. */
class Replay {
  readonly ids = new Map<string, string>();
  readonly devcloud: Devcloud;
  readonly demo: Client;
  readonly admin: Client;
  readonly origin: string;
  extraTokens: Record<string, string> = {};

  constructor(devcloud: Devcloud, demo: Client, admin: Client) {
    this.devcloud = devcloud;
    this.demo = demo;
    this.admin = admin;
    this.origin = new URL(devcloud.url).origin;
    this.ids.set(recordedDemo, demo.projectId);
    this.ids.set(recordedAdmin, admin.projectId);
    this.hold();
  }

  static async start(): Promise<Replay> {
    const devcloud = await startDevcloud({
      statusDelayMs: 0,
      volumeTypes: ["rbd", "nfs"],
      capacityGib: 1000,
      quota: { volumes: 50, snapshots: 50, gigabytes: 2000 },
      now: () => clock.now,
    });
    const demo = await Client.login(devcloud.environment);
    const admin = await Client.login(devcloud.adminEnvironment);
    return new Replay(devcloud, demo, admin);
  }

  /** Nothing that was accepted is done before `settle`, so that states in between can be looked at. */
  hold(): void {
    for (const work of works) this.devcloud.faults.stuck(work);
  }

  async settle(): Promise<void> {
    this.devcloud.faults.release();
    const rows = () => [...this.devcloud.volumes(), ...this.devcloud.snapshots()];
    while (rows().some(row => !settled.includes(row.status)))
      await new Promise(resolve => setImmediate(resolve));
    this.hold();
  }

  /** Replaces what a recording says by what devcloud calls it. */
  translate(text: string): string {
    let translated = text
      .replaceAll(recordedCinder, `${this.origin}/volume`)
      .replaceAll(recordedKeystone, `${this.origin}/identity`)
      .replaceAll("lab@", "devcloud@");
    for (const [recorded, own] of this.ids) translated = translated.replaceAll(recorded, own);
    return translated;
  }

  /** Learns which id stands for which from two answers of the same shape. */
  learn(recorded: unknown, own: unknown): void {
    if (typeof recorded === "string" && typeof own === "string") {
      const before = recorded.match(idPattern) ?? [];
      const after = own.match(idPattern) ?? [];
      if (before.length !== after.length) return;
      for (const [index, id] of before.entries()) {
        if (!this.ids.has(id) && !id.endsWith("dead")) this.ids.set(id, after[index] ?? id);
      }
    } else if (isObject(recorded) && isObject(own)) {
      for (const [key, value] of Object.entries(recorded))
        this.learn(value, (own as Record<string, unknown>)[key]);
    }
  }

  async createVolume(recordedId: string, body: Record<string, unknown>): Promise<string> {
    const answer = await this.demo.send("POST", "/volumes", { volume: { size: 1, ...body } });
    assert.equal(answer.status, 202);
    this.ids.set(recordedId, answer.body.volume.id);
    return answer.body.volume.id;
  }

  async createSnapshot(recordedId: string, body: Record<string, unknown>): Promise<string> {
    const answer = await this.demo.send("POST", "/snapshots", { snapshot: { force: true, ...body } });
    assert.equal(answer.status, 202);
    this.ids.set(recordedId, answer.body.snapshot.id);
    return answer.body.snapshot.id;
  }

  /** Snapshots that a recorded list shows, by their names. */
  async createPoints(cases: string[], names: string[]): Promise<void> {
    const rows = recordings("cinder")
      .filter(({ case: name }) => cases.some(start => name.startsWith(start)))
      .flatMap(
        ({ response }) => (response as { body: { snapshots: Record<string, string>[] } }).body.snapshots,
      );
    for (const { id = "", name = "", metadata, volume_id = "" } of rows.filter(({ name = "" }) =>
      names.includes(name),
    )) {
      clock.now += 1000;
      await this.createSnapshot(id, { volume_id: this.own(volume_id), name, metadata });
      await this.settle();
    }
  }

  own(recordedId: string): string {
    const own = this.ids.get(recordedId);
    assert.ok(own, `no id stands for ${recordedId}`);
    return own;
  }
}

const clock = { now: Date.parse("2026-11-22T02:13:31Z") };
const idPattern = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}/g;

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Leaves of an answer by their kind where the value is made up anew each time. */
function normalised(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map(item => normalised(item, key));
  if (isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, normalised(item, name)]));
  }
  if (typeof value !== "string") return value;
  if (key === "auth_key" || key === "secret") return "<secret>";
  if (key === "audit_ids") return "<audit id>";
  if (key === "name" && /^backup-[0-9a-f]+$/.test(value)) return "<name>";
  return value.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d{6})/g, (_, fraction) =>
    fraction === "000000" ? "<time in seconds>" : "<time in microseconds>",
  );
}

/** A token's roles are in no order. */
function withSortedRoles(body: unknown): unknown {
  if (Array.isArray(body)) return body.map(withSortedRoles);
  if (!isObject(body)) return body;
  const entries = Object.entries(body).map(([key, value]) => {
    if (key !== "roles") return [key, withSortedRoles(value)];
    return [key, [...(value as { name: string }[])].sort((a, b) => (a.name < b.name ? -1 : 1))];
  });
  return Object.fromEntries(entries);
}

function withoutDriverFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDriverFields);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => {
    if (key !== "connection_info" && key !== "data") return [key, withoutDriverFields(item)];
    const kept = Object.entries(item as object).filter(([name]) => !driverFields.includes(name));
    return [key, withoutDriverFields(Object.fromEntries(kept))];
  });
  return Object.fromEntries(entries);
}

function comparable(name: string, body: unknown): unknown {
  let shown = normalised(body);
  if (driverCases.test(name)) shown = withoutDriverFields(shown);
  // The NFS driver's own words are compared, only the share and where it is mounted are the machine's.
  if (name.startsWith("cinder-475")) {
    const { attachment } = shown as { attachment: { connection_info: object } };
    const connection_info = {
      ...attachment.connection_info,
      export: "<share>",
      mount_point_base: "<directory>",
    };
    shown = { attachment: { ...attachment, connection_info } };
  }
  if (name.startsWith("cinder-431")) {
    const { services } = shown as { services: { host: string; binary: string }[] };
    const hosts = services.map(service => ({ ...service, host: service.host.replace(/^lab$/, "devcloud") }));
    shown = { services: hosts.sort((a, b) => (a.host < b.host ? -1 : 1)) };
  }
  if (name.startsWith("keystone-08")) {
    const { error } = shown as { error: { message: string } };
    shown = { error: { ...error, message: error.message.split("\n")[0] } };
  }
  return shown;
}

const comparedHeaders = [
  "content-type",
  "openstack-api-version",
  "vary",
  "www-authenticate",
  "retry-after",
  "location",
];
const presentHeaders = ["x-openstack-request-id", "x-compute-request-id", "x-subject-token"];

async function replayRequest(replay: Replay, recording: Recording): Promise<void> {
  const { request, response } = recording;
  assert.ok(request && response);
  const headers: Record<string, string> = { ...request.headers };
  for (const name of ["x-auth-token", "x-subject-token", "x-service-token"]) {
    if (headers[name] !== undefined) headers[name] = tokenOf(replay, recording, name);
  }
  const url = replay.translate(request.url.replace("ks:", recordedKeystone));
  const text =
    typeof request.body === "string"
      ? request.body
      : JSON.stringify(secretsOf(replay, recording, request.body));
  const answer = await fetch(url, {
    method: request.method,
    headers,
    redirect: "manual",
    ...(request.body !== null && { body: replay.translate(text) }),
  });
  const answerText = await answer.text();
  const isJson = answer.headers.get("content-type")?.startsWith("application/json") && answerText !== "";
  const body: unknown = isJson ? JSON.parse(answerText) : answerText;
  const recorded = withSortedRoles(response.body);
  replay.learn(recorded, withSortedRoles(body));
  const expected = JSON.parse(replay.translate(JSON.stringify(recorded)));
  assert.deepEqual(
    { status: answer.status, body: comparable(recording.case, withSortedRoles(body)) },
    { status: response.status, body: comparable(recording.case, expected) },
  );
  for (const name of comparedHeaders) {
    // A 204 has no content and here no type of it.
    if (name === "content-type" && response.status === 204) continue;
    assert.equal(answer.headers.get(name), translatedHeader(replay, response.headers[name]), name);
  }
  for (const name of presentHeaders) {
    if (response.status === 204) continue;
    assert.equal(answer.headers.has(name), name in response.headers, name);
  }
  const given = answer.headers.get("x-subject-token");
  if (given) replay.extraTokens.latest = given;
  if (isObject(body) && "application_credential" in body) {
    const { secret } = body.application_credential as { secret: string };
    replay.extraTokens.secret = secret;
  }
}

function translatedHeader(replay: Replay, value: string | undefined): string | null {
  return value === undefined ? null : replay.translate(value);
}

function tokenOf(replay: Replay, recording: Recording, header: string): string {
  const name = recording.case;
  if (name.startsWith("cinder-004")) return "no-such-token";
  if (name.startsWith("cinder-005")) return replay.extraTokens.revoked ?? "";
  if (name.startsWith("cinder-006")) return replay.extraTokens.unscoped ?? "";
  if (header === "x-service-token") return replay.extraTokens.service ?? "";
  if (header === "x-subject-token") return replay.extraTokens.latest ?? "";
  const isAdmin =
    recording.who?.startsWith("admin") || recording.request?.url.includes(`/v3/${recordedAdmin}/`);
  if (name.startsWith("cinder-007") || !isAdmin) return replay.demo.token;
  return replay.admin.token;
}

/** Puts real passwords where the recording hides them. */
function secretsOf(replay: Replay, recording: Recording, body: unknown): unknown {
  const name = recording.case;
  const isWrong = name.includes("-bad-");
  const secret = name.includes("appcred")
    ? replay.extraTokens.secret
    : replay.devcloud.environment.OS_PASSWORD;
  return JSON.parse(JSON.stringify(body).replaceAll("<secret>", isWrong ? "wrong" : (secret ?? "")));
}

async function replayTimeline(replay: Replay, recording: Recording): Promise<void> {
  const url = replay.translate(recording.url ?? "");
  const seen: (string | number)[] = [];
  const look = async () => {
    const answer = await replay.demo.send("GET", url);
    const status = answer.status === 404 ? 404 : (answer.body.volume ?? answer.body.snapshot).status;
    if (seen.at(-1) !== status) seen.push(status);
  };
  await look();
  if (recording.timeline?.length !== 1) {
    await replay.settle();
    await look();
  }
  assert.deepEqual(seen, recording.timeline);
}

type Step = (replay: Replay) => Promise<unknown> | unknown;

const firstHeld = "bf3b00ee-c227-4f0a-85b4-ef4ac0561a4b";
const paged = idIn("cinder", "cinder-510", /"volume_id":"([^"]+)"/);

function idIn(service: string, name: string, pattern: RegExp): string {
  const recording = recordings(service).find(({ case: other }) => other.startsWith(name));
  const id = pattern.exec(JSON.stringify(recording))?.[1];
  assert.ok(id, `${name} names no id`);
  return id;
}

/** Cases that look at a state in between: nothing is settled before them. */
const unsettled = new Set(["101", "221", "225", "361", "362", "363", "364", "360"]);

/** What the recorded cloud was told between two recorded requests. */
const told: Record<string, Step> = {
  "005": async replay => {
    replay.extraTokens.revoked = await oneMoreToken(replay, {});
    await fetch(`${replay.devcloud.url}/auth/tokens`, {
      method: "DELETE",
      headers: { "X-Auth-Token": replay.demo.token, "X-Subject-Token": replay.extraTokens.revoked },
    });
  },
  "006": async replay => {
    replay.extraTokens.unscoped = await oneMoreToken(replay, { scope: "unscoped" });
  },
  // Made in the same second as the one before, which has the greater id: it is listed as the older one.
  "050": () => {
    clock.now -= 13_000;
  },
  "051": () => {
    clock.now += 13_000;
  },
  "329": async replay => {
    replay.extraTokens.service = (
      await Client.login(replay.devcloud.environmentOf("cinder", "service"))
    ).token;
  },
  "350": async replay => {
    for (const { id, name } of replay.devcloud.snapshots()) {
      if (name === "iu1" || name === "iu2") await replay.demo.send("DELETE", `/snapshots/${id}`);
    }
    await replay.settle();
  },
  "360": replay => replay.createVolume(firstHeld, { name: "held" }),
  "361": async replay => {
    await replay.settle();
    const id = idIn("cinder", "cinder-361", /"snapshot_id":"([^"]+)"/);
    await replay.createSnapshot(id, { volume_id: replay.own(firstHeld) });
  },
  "363": async replay => {
    await replay.settle();
    const id = replay.own(idIn("cinder", "cinder-363", /"snapshot_id":"([^"]+)"/));
    assert.equal((await replay.demo.send("DELETE", `/snapshots/${id}`)).status, 202);
  },
  "364": async replay => {
    await replay.settle();
    assert.equal((await replay.demo.send("DELETE", `/volumes/${replay.own(firstHeld)}`)).status, 202);
  },
  "370": async replay => {
    const volume = await replay.createVolume(idIn("cinder", "cinder-370", /volumes\/([0-9a-f-]{36})/), {
      name: "err",
    });
    await replay.settle();
    const snapshot = idIn("cinder", "cinder-375", /snapshots\/([0-9a-f-]{36})/);
    await replay.createSnapshot(snapshot, { volume_id: volume, name: "errsnap" });
    await replay.settle();
  },
  "377": replay => {
    const id = replay.own(idIn("cinder", "cinder-377", /snapshots\/([0-9a-f-]{36})/));
    return replay.admin.send("POST", `/snapshots/${id}/action`, {
      "os-reset_status": { status: "error_deleting" },
    });
  },
  "403": replay => replay.devcloud.setQuota("demo", { snapshots: 3 }),
  "404": replay => replay.devcloud.setQuota("demo", { snapshots: 50, volumes: 4 }),
  "406": replay => replay.devcloud.setQuota("demo", { volumes: 50, gigabytes: 8 }),
  "408": replay => replay.devcloud.setQuota("demo", { gigabytes: 2000, per_volume_gigabytes: 3 }),
  "410": replay => replay.devcloud.setQuota("demo", { per_volume_gigabytes: -1, snapshots_rbd: 0 }),
  "411": replay => replay.devcloud.setQuota("demo", { snapshots_rbd: -1 }),
  "434": () => {
    clock.now += 1000;
  },
  "450": replay => {
    const id = replay.own(idIn("cinder", "cinder-450", /volumes\/([0-9a-f-]{36})/));
    replay.devcloud.faults.busyDelete(id);
  },
  "470": async replay => {
    const id = idIn("cinder", "cinder-470", /volumes\/([0-9a-f-]{36})/);
    await replay.createVolume(id, { name: "nfsvol", volume_type: "nfs" });
    await replay.settle();
  },
  "476": async replay => {
    const answer = await replay.demo.send("GET", "/attachments", undefined, "3.71");
    for (const { id } of answer.body.attachments)
      await replay.demo.send("DELETE", `/attachments/${id}`, undefined, "3.71");
  },
  "510": async replay => {
    await replay.createVolume(paged, { name: "paged" });
    await replay.settle();
    await replay.createPoints(["cinder-500", "cinder-501"], ["p1", "p2", "p3"]);
    const doomed = idIn("cinder", "cinder-512", /snapshots\/([0-9a-f-]{36})/);
    await replay.createSnapshot(doomed, { volume_id: replay.own(paged) });
    await replay.settle();
    replay.devcloud.faults.volumeService("down");
  },
  "517": replay => replay.devcloud.faults.volumeService("up"),
  "530": async replay => {
    const clone = idIn("cinder", "cinder-530", /volumes\/([0-9a-f-]{36})/);
    const cloned = idIn("cinder", "cinder-530", /"snapshot_id":"([0-9a-f-]{36})"/);
    const first = await replay.createVolume("volume at the chain's beginning", {
      name: "chain1",
      volume_type: "rbd",
    });
    await replay.settle();
    const doomed = idIn("cinder", "cinder-531", /snapshots\/([0-9a-f-]{36})/);
    const snapshot = await replay.createSnapshot(doomed, { volume_id: first });
    await replay.settle();
    const middle = await replay.createVolume("volume amid the chain", { snapshot_id: snapshot });
    await replay.settle();
    const second = await replay.createSnapshot(cloned, { volume_id: middle });
    await replay.settle();
    await replay.createVolume(clone, { name: "chain3", snapshot_id: second });
    await replay.settle();
  },
  "535": async replay => {
    const clone = replay.own(idIn("cinder", "cinder-530", /volumes\/([0-9a-f-]{36})/));
    const cloned = replay.own(idIn("cinder", "cinder-530", /"snapshot_id":"([0-9a-f-]{36})"/));
    for (const path of [
      `volumes/${clone}`,
      `snapshots/${cloned}`,
      `volumes/${replay.own("volume amid the chain")}`,
    ]) {
      assert.equal((await replay.demo.send("DELETE", `/${path}`)).status, 202);
      await replay.settle();
    }
    const id = replay.own(idIn("cinder", "cinder-535", /snapshots\/([0-9a-f-]{36})/));
    await replay.admin.send("POST", `/snapshots/${id}/action`, {
      "os-reset_status": { status: "available" },
    });
  },
  "537": async replay => {
    const volume = await replay.createVolume("volume of the busy snapshot", { volume_type: "rbd" });
    await replay.settle();
    const busy = idIn("cinder", "cinder-537", /snapshots\/([0-9a-f-]{36})/);
    replay.devcloud.faults.busyDelete(await replay.createSnapshot(busy, { volume_id: volume }));
    await replay.settle();
  },
  "540": async replay => {
    const busy = replay.own(idIn("cinder", "cinder-537", /snapshots\/([0-9a-f-]{36})/));
    await replay.demo.send("DELETE", `/snapshots/${busy}`);
    const id = idIn("cinder", "cinder-540", /"volume_id":"([0-9a-f-]{36})"/);
    const volume = await replay.createVolume(id, { name: "nfs-held", volume_type: "nfs" });
    await replay.settle();
    const connector = { host: "guest", ip: "127.0.0.1" };
    const { attachment } = (
      await replay.demo.send(
        "POST",
        "/attachments",
        { attachment: { volume_uuid: volume, connector } },
        "3.71",
      )
    ).body;
    await replay.demo.send("POST", `/attachments/${attachment.id}/action`, { "os-complete": {} }, "3.71");
  },
  "keystone-13": async replay => {
    replay.extraTokens.latest = await oneMoreToken(replay, {});
  },
  "500": async replay => {
    const hung = replay.devcloud.snapshots().find(({ name }) => name === "hang");
    await replay.demo.send("DELETE", `/snapshots/${hung?.id}`);
    await replay.createPoints(["cinder-501"], ["p4"]);
    await replay.settle();
  },
};

async function oneMoreToken(replay: Replay, auth: Record<string, unknown>): Promise<string> {
  const { OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME } = replay.devcloud.environment;
  const domain = { id: "default" };
  const answer = await fetch(`${replay.devcloud.url}/auth/tokens`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      auth: {
        identity: {
          methods: ["password"],
          password: { user: { name: OS_USERNAME, domain, password: OS_PASSWORD } },
        },
        scope: { project: { name: OS_PROJECT_NAME, domain } },
        ...auth,
      },
    }),
  });
  assert.equal(answer.status, 201);
  return answer.headers.get("x-subject-token") ?? "";
}

function describeReplay(title: string, cases: Recording[]): void {
  describe(title, () => {
    let replay: Replay;
    before(async () => {
      replay = await Replay.start();
    });
    after(() => replay.devcloud.stop());

    for (const recording of cases) {
      const number = /^\w+-(\w+)/.exec(recording.case)?.[1] ?? "";
      const reason = notReplayed[recording.case];
      if (reason !== undefined) continue;
      it(`answers as recorded in ${recording.case}`, async () => {
        clock.now += 1000.137;
        const isHanging = /^51\d$/.test(number) && number < "517";
        if (!recording.timeline && !unsettled.has(number) && !isHanging) await replay.settle();
        await told[recording.case.startsWith("cinder") ? number : `keystone-${number}`]?.(replay);
        if (recording.timeline) await replayTimeline(replay, recording);
        else await replayRequest(replay, recording);
      });
    }
  });
}

describe("recordings of a real cloud", () => {
  // The pages (500 and more) were recorded anew after all the others.
  const all = recordings("cinder");
  const isPage = ({ case: name }: Recording) => /^cinder-50\d/.test(name);
  const cinder = [...all.filter(recording => !isPage(recording)), ...all.filter(isPage)];
  describeReplay("Cinder", cinder);
  describeReplay("Keystone", recordings("keystone"));

  it("leaves out no more than it says", () => {
    const names = [...cinder, ...recordings("keystone")].map(({ case: name }) => name);
    const unknown = Object.keys(notReplayed).filter(name => !names.includes(name));
    assert.deepEqual(
      { unknown, replayed: names.length - Object.keys(notReplayed).length },
      { unknown: [], replayed: 306 },
    );
  });
});
