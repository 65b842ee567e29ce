import assert from "node:assert/strict";
import { attachments, type Session } from "../../../provider/openstack";
import { configMessage } from "./rejection";
import { ScriptedCloud } from "./scripted-cloud";
import type { ScriptedServer } from "./scripted-server";

const ID = "352eaa1c-a078-4033-aed6-33e029829fb7";
const VOLUME = "1718b533-cd79-4935-ab18-7b002791f013";

describe("attachments", () => {
  let cloud: ScriptedCloud;
  let server: ScriptedServer;
  let session: Session;

  beforeEach(async () => {
    cloud = await ScriptedCloud.start();
    server = cloud.server;
    session = cloud.session();
  });

  afterEach(() => cloud.stop());

  const recorded = (name: string, key: string) =>
    (server.recorded(name).body as Record<string, unknown>)[key];

  it("create returns how to reach the volume, of RBD and of NFS", async () => {
    const connector = { host: "backup-host", ip: "127.0.0.1" };
    for (const name of [
      "cinder-331-attachment-create-no-instance-mode-ro-mv3.54",
      "cinder-475-nfs-attachment",
    ]) {
      server.on("POST", `${cloud.cinder}/attachments`, server.recorded(name));
      const attachment = await attachments.create(session, { volumeId: VOLUME, connector, mode: "ro" });
      assert.deepEqual(attachment, recorded(name, "attachment"));
    }
    assert.deepEqual(server.seen("POST", "/attachments")[0]?.body, {
      attachment: { volume_uuid: VOLUME, connector: { host: "backup-host", ip: "127.0.0.1" }, mode: "ro" },
    });
  });

  it("create only reserves the volume without a connector", async () => {
    server.on(
      "POST",
      `${cloud.cinder}/attachments`,
      server.recorded("cinder-311-attachment-reserve-no-connector"),
    );
    const attachment = await attachments.create(session, { volumeId: VOLUME });
    assert.deepEqual([attachment.status, attachment.connection_info], ["reserved", {}]);
    assert.deepEqual(server.seen("POST", "/attachments")[0]?.body, { attachment: { volume_uuid: VOLUME } });
  });

  it("create puts the mode into the connector below 3.54", async () => {
    cloud.newestMicroversion("3.53");
    server.on("POST", `${cloud.cinder}/attachments`, server.recorded("cinder-475-nfs-attachment"));
    await attachments.create(session, { volumeId: VOLUME, connector: { host: "h" }, mode: "ro" });
    assert.deepEqual(server.seen("POST", "/attachments")[0]?.body, {
      attachment: { volume_uuid: VOLUME, connector: { host: "h", mode: "ro" } },
    });
  });

  it("says what Cinder must be able to do where it cannot", async () => {
    cloud.newestMicroversion("3.26");
    assert.equal(
      await configMessage(attachments.create(session, { volumeId: VOLUME })),
      "attaching volumes to a host needs Cinder's microversion 3.27, and 3.26 is the newest that the cloud and the configuration allow",
    );
    assert.equal(server.seen("POST", "/attachments").length, 0);
  });

  it("list returns attachments whole", async () => {
    server.on("GET", `${cloud.cinder}/attachments/detail`, server.recorded("cinder-326-attachments-list"));
    assert.deepEqual(
      await attachments.list(session, { volumeId: VOLUME }),
      recorded("cinder-326-attachments-list", "attachments"),
    );
    assert.deepEqual(await attachments.list(session, { volumeId: "another" }), []);
    assert.equal(server.seen("GET", "/detail")[0]?.query.get("volume_id"), VOLUME);
  });

  it("complete and remove end an attachment's two phases", async () => {
    server.on(
      "POST",
      `${cloud.cinder}/attachments/${ID}/action`,
      server.recorded("cinder-316-attachment-complete-204"),
    );
    server.on(
      "DELETE",
      `${cloud.cinder}/attachments/${ID}`,
      server.recorded("cinder-336-attachment-delete-200"),
    );
    await attachments.complete(session, ID);
    await attachments.remove(session, ID);
    assert.deepEqual(server.seen("POST", "/action")[0]?.body, { "os-complete": null });
    assert.equal(server.seen("DELETE", ID).length, 1);
  });
});
