import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { karborProtect, karborRestore } from "../../sdk";

describe("Karbor's parameters", () => {
  const made: { type: string; name: string; inputs: Record<string, unknown> }[] = [];

  before(() =>
    pulumi.runtime.setMocks(
      {
        newResource: ({ type, name, inputs }) => {
          made.push({ type, name, inputs });
          return { id: name, state: { ...inputs, snapshotId: "s1" } };
        },
        call: () => ({}),
      },
      "shop",
      "prod",
    ),
  );
  beforeEach(() => {
    made.length = 0;
  });

  /** The inputs of the one resource that was made, without what every resource has. */
  async function inputs(resource: pulumi.CustomResource): Promise<Record<string, unknown>> {
    await new Promise(resolve => resource.id.apply(resolve));
    const { __provider, owner, ...rest } = made.at(-1)?.inputs ?? {};
    return rest;
  }

  it("are those of protect by name, and force is false by default", async () => {
    assert.deepEqual(await inputs(karborProtect("plain", "v1")), { volumeId: "v1", force: false });
    const named = karborProtect(
      "named",
      "v1",
      { snapshot_name: "before-upgrade", description: "d", force: true },
      { schedule: "daily" },
    );
    assert.deepEqual(await inputs(named), {
      volumeId: "v1",
      force: true,
      name: "before-upgrade",
      description: "d",
      schedule: "daily",
    });
  });

  it("are those of restore by name", async () => {
    const restored = karborRestore("restored", karborProtect("protected", "v1"), {
      restore_name: "back",
      restore_description: "d",
    });
    assert.deepEqual(await inputs(restored), { snapshotId: "s1", name: "back", description: "d" });
    assert.deepEqual(await inputs(karborRestore("by-id", "s2")), { snapshotId: "s2" });
  });

  it("refuse a key that Karbor's schema has not", () => {
    assert.throws(
      () => karborProtect("wrong", "v1", { snapshotname: "x" } as never),
      /the parameters of 'wrong' has no property 'snapshotname', did you mean 'snapshot_name'\?/,
    );
  });
});
