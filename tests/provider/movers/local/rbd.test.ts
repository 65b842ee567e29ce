import assert from "node:assert/strict";
import { exportArguments } from "../../../../provider/movers/local/fuse";
import {
  blockdevOf,
  mapArguments,
  minimalConfiguration,
  parseRbd,
  rbdFuseArguments,
} from "../../../../provider/movers/local/rbd";

/** As Cinder's RBD driver answered it (API 3.66). */
const recorded = {
  name: "volumes/volume-1718b533-cd79-4935-ab18-7b002791f013",
  hosts: ["127.0.0.1"],
  ports: ["26789"],
  cluster_name: "ceph",
  auth_enabled: true,
  auth_username: "admin",
  secret_type: "ceph",
  secret_uuid: "5a1c0e00-0000-4000-8000-000000000001",
  volume_id: "1718b533-cd79-4935-ab18-7b002791f013",
  discard: true,
  access_mode: "rw",
  encrypted: false,
  driver_volume_type: "rbd",
};

describe("rbd", () => {
  it("reads what Cinder tells of an image", () => {
    assert.deepEqual(parseRbd(recorded), {
      pool: "volumes",
      image: "volume-1718b533-cd79-4935-ab18-7b002791f013",
      user: "admin",
      monitors: ["127.0.0.1:26789"],
      cluster: "ceph",
      authenticated: true,
    });
  });

  it("knows namespaces, IPv6 monitors, keyrings and clusters without authentication", () => {
    const image = parseRbd({
      driver_volume_type: "rbd",
      name: "volumes/tenant/volume-1",
      hosts: ["fd00::1", "[fd00::2]", "mon3"],
      ports: ["6789", "3300"],
      auth_enabled: false,
      keyring: "[client.cinder]\n",
    });
    assert.deepEqual(image, {
      pool: "volumes",
      namespace: "tenant",
      image: "volume-1",
      monitors: ["[fd00::1]:6789", "[fd00::2]:3300", "mon3"],
      cluster: "ceph",
      authenticated: false,
      keyring: "[client.cinder]\n",
    });
  });

  for (const name of ["volume-1", "/volume-1", "volumes/", "a/b/c/d"]) {
    it(`refuses the image name ${name}`, () => {
      assert.throws(() => parseRbd({ driver_volume_type: "rbd", name }), {
        message: `attaching the volume ${name} by rbd: its name is not pool/image`,
      });
    });
  }

  it("writes a configuration of monitors and keyring", () => {
    const image = parseRbd({ ...recorded, hosts: ["10.0.0.1", "10.0.0.2"], ports: ["6789", "6789"] });
    assert.equal(
      minimalConfiguration(image),
      "[global]\nmon_host = 10.0.0.1:6789,10.0.0.2:6789\nclient_mount_timeout = 30\n",
    );
    assert.equal(
      minimalConfiguration({ ...image, authenticated: false, user: "cinder" }, "/tmp/x/keyring"),
      [
        "[global]",
        "mon_host = 10.0.0.1:6789,10.0.0.2:6789",
        "client_mount_timeout = 30",
        "auth_cluster_required = none",
        "auth_service_required = none",
        "auth_client_required = none",
        "[client.cinder]",
        "keyring = /tmp/x/keyring",
        "",
      ].join("\n"),
    );
  });

  it("names image, user and configuration to each program", () => {
    const image = parseRbd(recorded);
    const { name } = recorded;
    assert.deepEqual(mapArguments(image, name, "/c"), ["map", name, "--conf", "/c", "--id", "admin"]);
    assert.deepEqual(rbdFuseArguments(image, "/f", "/c"), [
      "-f",
      "-c",
      "/c",
      "-p",
      "volumes",
      "-r",
      "volume-1718b533-cd79-4935-ab18-7b002791f013",
      "/f",
    ]);
    assert.deepEqual(blockdevOf({ ...image, namespace: "tenant" }, "/c"), {
      driver: "rbd",
      pool: "volumes",
      namespace: "tenant",
      image: "volume-1718b533-cd79-4935-ab18-7b002791f013",
      conf: "/c",
      user: "admin",
    });
  });

  it("exports an image writable, so that its journal can be replayed", () => {
    assert.deepEqual(exportArguments({ driver: "rbd", pool: "p", image: "a,b=c" }, "/f"), [
      "--blockdev",
      '{"driver":"rbd","pool":"p","image":"a,b=c","node-name":"volume","read-only":false}',
      "--export",
      '{"type":"fuse","id":"volume","node-name":"volume","mountpoint":"/f","writable":true,"growable":false}',
    ]);
  });
});
