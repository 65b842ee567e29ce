import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { ServerBackupPlan } from "../../sdk";

describe("ServerBackupPlan", () => {
  const made: { name: string; inputs: Record<string, unknown> }[] = [];

  before(() =>
    pulumi.runtime.setMocks(
      {
        newResource: ({ name, inputs, custom }) => {
          if (custom) made.push({ name, inputs });
          return { id: name, state: inputs };
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

  const of = async (plan: ServerBackupPlan) => {
    for (const set of Object.values(plan.sets)) await new Promise(resolve => set.id.apply(resolve));
    return made.map(({ name, inputs }) => [
      name,
      inputs.backupType,
      inputs.schedule,
      (inputs.retention as { keepLast: number }).keepLast,
    ]);
  };

  it("is the script's by default: daily 7, weekly 4, monthly 12, yearly 2", async () => {
    assert.deepEqual(await of(new ServerBackupPlan("web", { serverId: "s1" })), [
      ["web-daily", "daily", "1 1 * * *", 7],
      ["web-weekly", "weekly", "1 2 * * 0", 4],
      ["web-monthly", "monthly", "1 3 1 * *", 12],
      ["web-yearly", "yearly", "1 4 1 1 *", 2],
    ]);
  });

  it("takes any other types", async () => {
    const backups = { office: { schedule: "0 8-18/2 * * mon-fri", rotation: 12 } };
    assert.deepEqual(await of(new ServerBackupPlan("web", { serverId: "s1", backups })), [
      ["web-office", "office", "0 8-18/2 * * mon-fri", 12],
    ]);
  });

  it("refuses a rotation of 0 and a key that it does not know", () => {
    const none = { daily: { schedule: "daily", rotation: 0 } };
    assert.throws(
      () => new ServerBackupPlan("none", { serverId: "s1", backups: none }),
      /the rotation of 'daily' is 0, give a whole number from 1 on/,
    );
    assert.throws(
      () => new ServerBackupPlan("typo", { serverId: "s1", backup: none } as never),
      /has no property 'backup', did you mean 'backups'\?/,
    );
  });
});
