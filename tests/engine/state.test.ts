import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Checkpoint, withoutDangling } from "../../engine/checkpoint";
import { DependencyGraph } from "../../engine/graph";
import { SECRET, SIGNATURE } from "../../engine/property";
import { Crypter } from "../../engine/secrets";
import {
  type Deployment,
  type DeploymentFile,
  followAliases,
  type ResourceState,
  readDeployment,
  StateWriter,
  verifyIntegrity,
} from "../../engine/state";

const type = "pulumi-nodejs:dynamic/files:File";
const urnOf = (name: string, kind = type) => `urn:pulumi:dev::demo::${kind}::${name}`;
const file = (name: string, more: Partial<ResourceState> = {}): ResourceState => ({
  urn: urnOf(name),
  custom: true,
  id: `${name}-1`,
  type,
  inputs: {},
  ...more,
});
const folder = (name: string, more: Partial<ResourceState> = {}): ResourceState => ({
  urn: urnOf(name, "test:index:Folder"),
  custom: false,
  type: "test:index:Folder",
  inputs: {},
  ...more,
});
const needs = (...names: string[]) => ({ dependencies: names.map(name => urnOf(name)) });
const names = (states: Iterable<ResourceState>) => [...states].map(state => state.urn.split("::").pop());

describe("StateWriter", () => {
  let crypter: Crypter;
  before(async () => {
    crypter = await Crypter.create("passphrase");
  });
  const secret = { [SIGNATURE]: SECRET, value: { hidden: ["value"] } };
  const deployment: Deployment = {
    resources: [
      file("a", {
        inputs: { b: secret, a: [1, null] },
        outputs: { b: secret },
        customTimeouts: { create: 300 },
        protect: true,
        created: "2026-01-01T00:00:00.000Z",
      }),
    ],
    pendingOperations: [{ type: "creating", resource: file("b") }],
  };

  it("writes what is read back as it was, with no secret in the clear", () => {
    const text = new StateWriter(crypter).write(deployment);
    assert.doesNotMatch(text, /hidden|value"/);
    assert.deepEqual(readDeployment(JSON.parse(text) as DeploymentFile, crypter), deployment);
  });

  it("keeps the ciphertext of a secret that has not changed", () => {
    const first = new StateWriter(crypter).write(deployment);
    const writer = new StateWriter(crypter);
    const read = readDeployment(JSON.parse(first) as DeploymentFile, crypter, (...args) =>
      writer.remember(...args),
    );
    const ciphertexts = (text: string) => text.match(/"ciphertext":"[^"]+"/g);
    assert.deepEqual(ciphertexts(writer.write(read)), ciphertexts(first));
  });

  it("notices that a state was marked after it was written", () => {
    const state = file("a");
    const writer = new StateWriter(crypter);
    writer.write({ resources: [state], pendingOperations: [] });
    state.delete = true;
    const again = JSON.parse(writer.write({ resources: [state], pendingOperations: [] })) as DeploymentFile;
    assert.equal(again.deployment.resources?.[0]?.delete, true);
  });
});

describe("readDeployment", () => {
  const fileWith = (resource: object): DeploymentFile =>
    ({ version: 3, deployment: { manifest: {}, resources: [resource] } }) as unknown as DeploymentFile;

  for (const [what, resource, message] of [
    [
      "another provider's resource",
      { ...file("a"), type: "aws:s3/bucket:Bucket" },
      /the provider of type aws:s3/,
    ],
    ["a resource read with get", { ...file("a"), external: true }, /resources read with `get`/],
    ["the option deletedWith", { ...file("a"), deletedWith: "urn" }, /the deletedWith option/],
    ["resource hooks", { ...file("a"), resourceHooks: { beforeCreate: ["x"] } }, /resource hooks/],
  ] as const) {
    it(`refuses ${what}`, () => assert.throws(() => readDeployment(fileWith(resource), undefined), message));
  }

  it("refuses a file that was changed, another version and another secrets provider", () => {
    const changed = { version: 3, deployment: { manifest: { time: "", magic: "0", version: "v3.1.0" } } };
    assert.throws(() => readDeployment(changed, undefined), /checksum does not match/);
    assert.throws(() => readDeployment({ ...changed, version: 4 }, undefined), /version 4 is not supported/);
    const cloud = {
      version: 3,
      deployment: { ...fileWith({}).deployment, secrets_providers: { type: "cloud" } },
    };
    assert.throws(() => readDeployment(cloud, undefined), /secrets provider "cloud" is not supported/);
  });

  it("takes plaintext secrets, as --show-secrets writes them", () => {
    const sealed = { [SIGNATURE]: SECRET, plaintext: '"x"' };
    const { resources } = readDeployment(fileWith({ ...file("a"), inputs: { a: sealed } }), undefined);
    assert.deepEqual(resources[0]?.inputs, { a: { [SIGNATURE]: SECRET, value: "x" } });
  });
});

describe("verifyIntegrity", () => {
  const check = (...resources: ResourceState[]) => verifyIntegrity({ resources, pendingOperations: [] });

  it("asks that everything comes after what it needs, once", () => {
    check(file("a"), file("b", needs("a")));
    assert.throws(
      () => check(file("b", needs("a")), file("a")),
      /b refers to .*a, which does not come before it/,
    );
    assert.throws(() => check(file("a"), file("a")), /there are two of/);
    check(file("a"), file("a", { delete: true, id: "a-0" }));
    assert.throws(
      () => check(file("a", { provider: "urn:p::1" })),
      /refers to the unknown provider urn:p::1/,
    );
  });
});

describe("followAliases", () => {
  it("renames what refers to a renamed resource, children included", () => {
    const parent = folder("new", { aliases: [urnOf("old", "test:index:Folder")] });
    const childType = (kind: string) => `${kind}$${type}`;
    const child = file("child", {
      urn: urnOf("child", childType("test:index:Folder")),
      parent: urnOf("old", "test:index:Folder"),
    });
    const user = file("user", {
      ...needs("x"),
      propertyDependencies: { a: [urnOf("old", "test:index:Folder")] },
    });
    const [first, second, third] = followAliases([parent, child, user]);
    assert.equal(first?.aliases, undefined);
    assert.equal(second?.parent, parent.urn);
    assert.deepEqual(third?.propertyDependencies, { a: [parent.urn] });
  });
});

describe("withoutDangling", () => {
  it("drops what is gone and moves children to the grandparent", () => {
    const top = folder("top");
    const middle = file("middle", { parent: top.urn });
    const low = file("low", {
      parent: middle.urn,
      ...needs("middle"),
      propertyDependencies: { a: [middle.urn], b: [] },
    });
    const [, kept] = withoutDangling([top, low], [top, middle, low]);
    assert.deepEqual(kept, file("low", { parent: top.urn, dependencies: [] }));
  });
});

describe("DependencyGraph", () => {
  const holder = folder("holder");
  const held = file("held", { parent: holder.urn, ...needs("a") });
  const states = [
    file("a"),
    file("b", needs("a")),
    holder,
    held,
    file("c", needs("b")),
    file("d", { dependencies: [holder.urn] }),
  ];
  const graph = new DependencyGraph(states);
  const by = (name: string) => states.find(state => state.urn.endsWith(`::${name}`)) as ResourceState;

  it("finds what needs a resource, in order, but for what is to be ignored", () => {
    assert.deepEqual(names(graph.dependingOn(by("a"), new Set())), ["b", "held", "c"]);
    assert.deepEqual(names(graph.dependingOn(by("a"), new Set([by("b").urn]))), ["held"]);
  });

  it("takes a dependency on a component for one on all that is in it", () => {
    assert.deepEqual(names(graph.dependenciesOf(by("d"))).sort(), ["held", "holder"]);
    assert.deepEqual(names(graph.allDependenciesOf(by("d"))).sort(), ["a", "held", "holder"]);
  });

  it("deletes dependents before what they need", () => {
    const waves = graph.deletionOrder(new Set(states)).map(wave => names(wave).sort());
    assert.deepEqual(waves, [
      ["c", "d"],
      ["b", "held"],
      ["a", "holder"],
    ]);
  });
});

describe("Checkpoint", () => {
  let directory: string;
  let writer: StateWriter;
  before(async () => {
    writer = new StateWriter(await Crypter.create("x"));
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "osbackup-engine-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const path = () => join(directory, "state.json");
  const onDisk = () => readDeployment(JSON.parse(readFileSync(path(), "utf8")) as DeploymentFile, undefined);

  it("has every operation on the disk before it goes on, and leaves nothing else there", async () => {
    const checkpoint = new Checkpoint(path(), writer, { resources: [], pendingOperations: [] });
    const state = file("a");
    await checkpoint.begin(state, "creating");
    assert.deepEqual(
      onDisk().pendingOperations.map(operation => operation.type),
      ["creating"],
    );
    await checkpoint.end({ operation: state, fresh: state, write: true });
    assert.deepEqual([names(onDisk().resources), onDisk().pendingOperations], [["a"], []]);
    assert.deepEqual(readdirSync(directory), ["state.json"]);
  });

  it("shares writes between changes that come together", async () => {
    const checkpoint = new Checkpoint(path(), writer, { resources: [], pendingOperations: [] });
    const states = Array.from({ length: 50 }, (_, index) => file(`f${index}`));
    await Promise.all(states.map(fresh => checkpoint.end({ fresh, write: true })));
    assert.equal(onDisk().resources.length, 50);
    assert.ok(checkpoint.writes <= 2, `${checkpoint.writes} writes`);
  });

  it("writes what was not urgent when it is closed, and nothing when nothing happened", async () => {
    const before = { resources: [file("old")], pendingOperations: [] };
    const idle = new Checkpoint(path(), writer, before);
    await idle.close();
    assert.equal(idle.writes, 0);
    const checkpoint = new Checkpoint(path(), writer, before);
    await checkpoint.end({ done: before.resources[0] as ResourceState, fresh: file("new"), write: false });
    assert.equal(checkpoint.writes, 0);
    await checkpoint.close();
    assert.deepEqual(names(onDisk().resources), ["new"]);
  });

  it("keeps cut-off creations of earlier runs and forgets other operations", () => {
    const before: Deployment = {
      resources: [],
      pendingOperations: [
        { type: "creating", resource: file("a") },
        { type: "updating", resource: file("b") },
      ],
    };
    const checkpoint = new Checkpoint(undefined, writer, before);
    assert.deepEqual(
      checkpoint.deployment().pendingOperations.map(({ type: kind }) => kind),
      ["creating"],
    );
  });
});
