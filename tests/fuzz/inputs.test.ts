import assert from "node:assert/strict";
import fc from "fast-check";
import { stringify } from "yaml";
import type { z } from "zod";
import { World } from "../../provider/driver/world";
import { manifestsOf } from "../../provider/kubernetes/manifest";
import { parseSchedule, ScheduleError, slots } from "../../provider/operations/schedule";
import { parseScheduleFile } from "../../provider/operations/schedule-file";
import { check } from "../../provider/resources/check";
import { registry } from "../../provider/resources/registry";
import { policies } from "../../sdk/policy";
import { examine, examineStackLater, remediate } from "../sdk/policy/examine";
import { hostileText, nearly } from "./arbitrary";

const types = Object.values(registry);
/** Of a resource that exists nothing is asked of the world: what is checked here is the inputs. */
const olds = { name: "there" };

describe("10,000 inputs that nobody would write", function () {
  this.timeout(120_000);

  for (const type of types)
    it(`are taken or refused by their paths: ${type.name}`, async () => {
      const context = new World({}, () => {}, {}).context("fuzz");
      await fc.assert(
        fc.asyncProperty(nearly(type.inputs as z.ZodType), async given => {
          if (typeof given !== "object" || given === null || Array.isArray(given)) return;
          const { refusals } = await check(type, olds, given as Record<string, unknown>, context);
          for (const { property, reason } of refusals) {
            assert.ok(property !== "" || /^type|propert/.test(reason), reason);
            assert.ok(reason.length > 0);
          }
        }),
        { numRuns: Math.ceil(10_000 / types.length) },
      );
    });

  it("are read, or refused with what is wrong, as schedules", () => {
    const part = fc.constantFrom(
      "0",
      "*",
      "*/7",
      "61",
      "mon",
      "mon-fri",
      "@",
      "L",
      "2,4",
      "-1",
      "25",
      "sun#2",
      "7",
    );
    const text = fc.oneof(
      hostileText,
      fc.array(part, { maxLength: 7 }).map(parts => parts.join(" ")),
      fc.array(part).map(parts => parts.join("@")),
    );
    fc.assert(
      fc.property(text, hostileText, (schedule, timeZone) => {
        try {
          const read = parseSchedule(schedule, { timeZone, seed: "s" });
          slots(read, new Date("2026-01-01"), new Date("2026-01-08"), 10);
        } catch (error) {
          assert.ok(error instanceof ScheduleError, String(error));
          assert.match(error.message, /reading|schedule|zone/i);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it("are read, or refused with what is wrong, as files of Snapmanager and manifests of the operator", () => {
    const value = fc.letrec(tie => ({
      any: fc.oneof(
        { maxDepth: 4 },
        hostileText,
        fc.integer(),
        fc.constant(null),
        fc.array(tie("any"), { maxLength: 3 }),
        fc.dictionary(
          fc.constantFrom(
            "kind",
            "spec",
            "metadata",
            "name",
            "volumeClaimRef",
            "repository",
            "url",
            "servers",
            "schedules",
            "VolumeSnapshotBackup",
          ),
          tie("any"),
          { maxKeys: 4 },
        ),
      ),
    })).any;
    const text = fc.oneof(
      hostileText,
      value.map(given => stringify(given)),
      value.map(spec => stringify({ kind: "VolumeSnapshotBackup", metadata: { name: "a" }, spec })),
    );
    fc.assert(
      fc.property(text, given => {
        for (const read of [() => manifestsOf(given), () => parseScheduleFile(given, "file")])
          try {
            read();
          } catch (error) {
            assert.ok(
              error instanceof Error && !(error instanceof TypeError) && !(error instanceof RangeError),
              String((error as Error).stack),
            );
          }
      }),
      { numRuns: 3_000 },
    );
  });

  it("are judged by each policy without an exception", async () => {
    const props = fc.oneof(
      ...types.map(type => fc.tuple(fc.constant(type.name), nearly(type.inputs as z.ZodType))),
    );
    const isObject = (given: unknown): given is Record<string, unknown> =>
      typeof given === "object" && given !== null && !Array.isArray(given);
    // what @pulumi/policy takes for an answer, too
    const isAnswer = (error: unknown) =>
      /not applicable|can't be known|is not known until/.test(String(error));
    await fc.assert(
      fc.asyncProperty(fc.array(props, { minLength: 1, maxLength: 3 }), async found => {
        const resources = found.flatMap(([type, given], place) =>
          isObject(given) ? [{ type, name: `r${place}`, props: given }] : [],
        );
        for (const policy of policies)
          try {
            if ("validateStack" in policy) await examineStackLater(policy, resources);
            else
              for (const resource of resources) {
                examine(policy, resource);
                remediate(policy, resource);
              }
          } catch (error) {
            if (!isAnswer(error)) throw new Error(`${policy.name}: ${(error as Error).stack}`);
          }
      }),
      { numRuns: 600 },
    );
  });
});
