import assert from "node:assert/strict";
import { type Devcloud, startDevcloud } from "../../../devcloud";
import { toMetadata } from "../../../provider/base/marks";
import { Driver } from "../../../provider/driver/driver";
import { World } from "../../../provider/driver/world";
import {
  getServers,
  getUnprotectedVolumes,
  getVolumes,
  listRecoveryPoints,
} from "../../../provider/hosts/functions";

describe("functions", () => {
  let cloud: Devcloud;
  let config: Record<string, string>;

  beforeEach(async () => {
    cloud = await startDevcloud();
    const { OS_AUTH_URL = "", OS_USERNAME = "", OS_PASSWORD = "", OS_PROJECT_NAME = "" } = cloud.environment;
    config = {
      "openstack:authUrl": OS_AUTH_URL,
      "openstack:userName": OS_USERNAME,
      "openstack:password": OS_PASSWORD,
      "openstack:tenantName": OS_PROJECT_NAME,
      "openstack:userDomainId": "default",
      "openstack:projectDomainId": "default",
    };
  });
  afterEach(() => cloud.stop());

  const names = (list: { name: string }[]) => list.map(({ name }) => name);

  it("tell servers with their volumes, and volumes with their servers, by the stack's own configuration", async () => {
    const { id } = cloud.addServer({ name: "web", metadata: { automatic_snapshots: "true" } });
    cloud.addServer({ name: "bare" });
    await cloud.addVolume({ name: "data", sizeBytes: 4096, attachedTo: id, device: "/dev/vdc" });
    await cloud.addVolume({ name: "root", sizeBytes: 4096, attachedTo: id, device: "/dev/vda" });
    await cloud.addVolume({ name: "free", sizeBytes: 4096, metadata: { tier: "gold" } });
    await cloud.addVolume({
      name: "of a backup",
      sizeBytes: 4096,
      metadata: toMetadata({ owner: "shop/prod/x", set: "x", role: "temporary" }),
    });
    const servers = await getServers(config);
    assert.deepEqual(names(servers), ["bare", "web"]);
    assert.deepEqual(
      servers[1]?.volumes.map(({ name, device }) => [name, device]),
      [
        ["root", "/dev/vda"],
        ["data", "/dev/vdc"],
      ],
    );
    assert.deepEqual(
      names(await getServers(config, { where: { metadata: { automatic_snapshots: "true" } } })),
      ["web"],
    );
    const volumes = await getVolumes(config);
    assert.deepEqual(
      volumes.map(({ name, serverId }) => [name, serverId]),
      [
        ["data", id],
        ["free", undefined],
        ["root", id],
      ],
    );
    assert.deepEqual(names(await getVolumes(config, { where: { metadata: { tier: "gold" } } })), ["free"]);
  });

  it("tell the points of every stack, and which volumes have none that is good and young", async () => {
    const add = async (name: string, takenAt?: string, status = "available") => {
      const { id } = await cloud.addVolume({ name, sizeBytes: 4096 });
      const mark = { owner: `shop/prod/${name}`, set: name, role: "recovery-point" as const, takenAt };
      if (takenAt) await cloud.addSnapshot({ volumeId: id, metadata: toMetadata(mark), status });
      return id;
    };
    const now = new Date();
    const ago = (hours: number) => new Date(now.getTime() - hours * 3_600_000).toISOString();
    const young = await add("young", ago(1));
    await add("old", ago(50));
    await add("broken", ago(1), "error");
    await add("none");
    assert.deepEqual(names(await getUnprotectedVolumes(config)), ["broken", "none"]);
    assert.deepEqual(names(await getUnprotectedVolumes(config, { maxAgeHours: 24 })), [
      "broken",
      "none",
      "old",
    ]);
    const points = await listRecoveryPoints(config);
    assert.deepEqual(points.map(({ owner }) => owner).sort(), [
      "shop/prod/broken",
      "shop/prod/old",
      "shop/prod/young",
    ]);
    const [own] = await listRecoveryPoints(config, { owner: "shop/prod/young" });
    assert.deepEqual([own?.volumeId, own?.status], [young, "available"]);
  });

  it("tell the servers of every project that the login has a role in, and back them up there", async () => {
    await cloud.stop();
    const users = [
      { name: "both", roles: { demo: ["member" as const], second: ["member" as const] } },
      { name: "third", roles: { third: ["member" as const] } },
    ];
    cloud = await startDevcloud({ users, statusDelayMs: 5 });
    const environment = cloud.environmentOf("both", "demo");
    const place: Record<string, string> = {
      "openstack:authUrl": environment.OS_AUTH_URL ?? "",
      "openstack:userName": "both",
      "openstack:password": environment.OS_PASSWORD ?? "",
      "openstack:tenantName": "demo",
    };
    const web = cloud.addServer({ name: "web" });
    const far = cloud.addServer({ name: "far", project: "second" });
    cloud.addServer({ name: "foreign", project: "third" });
    await cloud.addVolume({ sizeBytes: 4096, attachedTo: web.id });
    await cloud.addVolume({ sizeBytes: 4096, attachedTo: far.id, project: "second" });
    assert.deepEqual(names(await getServers(place)), ["web"]);
    const all = await getServers(place, { allProjects: true });
    assert.deepEqual(
      all.map(({ name, projectId, volumes }) => [name, projectId, volumes.length]),
      [
        ["far", far.project_id, 1],
        ["web", web.project_id, 1],
      ],
    );

    const driver = new Driver(new World(place, () => {}, {}));
    const given = { owner: "shop/prod/far", serverId: far.id, projectId: far.project_id };
    const { inputs, refusals } = await driver.check("ServerSnapshot", undefined, given);
    assert.deepEqual(refusals, []);
    const { id, outputs } = await driver.create("ServerSnapshot", inputs);
    assert.deepEqual(
      cloud.snapshots().map(({ project_id }) => project_id),
      [far.project_id],
    );
    await new Driver(new World(place, () => {}, {})).delete("ServerSnapshot", id, { ...inputs, ...outputs });
    assert.deepEqual(cloud.snapshots(), []);
    const other = await driver.check("ServerSnapshot", undefined, { ...given, projectId: web.project_id });
    assert.match(other.refusals[0]?.reason ?? "", /does not exist in project/);

    await assert.rejects(
      getServers(
        { ...place, "openstack:applicationCredentialId": "x", "openstack:applicationCredentialSecret": "y" },
        { projectId: "z" },
      ),
      /projectId is 'z', and a login by applicationCredential is of one project: use a password/,
    );
  });
});
