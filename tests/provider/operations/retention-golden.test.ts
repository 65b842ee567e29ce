import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { applyRetention, type Retention } from "../../../provider/operations/retention";

/** One list of points, and a file for each policy. `UPDATE_GOLDEN=1` writes them anew: read the difference by eye. */
const directory = join(__dirname, "../../golden/retention");

interface Golden {
  retention: Retention;
  timeZone?: string;
  keep: Record<string, string>;
  remove: Record<string, string>;
}

interface GoldenPoint {
  id: string;
  time: string;
  good?: boolean;
  tags?: string[];
}

describe("applyRetention, golden files", () => {
  const { asOf, points } = JSON.parse(readFileSync(join(directory, "points.json"), "utf8")) as {
    asOf: string;
    points: GoldenPoint[];
  };
  const list = points.map(({ time, ...rest }) => ({ good: true, ...rest, time: new Date(time) }));
  const files = readdirSync(directory).filter(name => name !== "points.json");

  it("are at least forty", () => assert(files.length >= 40, `${files.length} files`));

  for (const name of files.sort()) {
    it(name.replace(".json", ""), () => {
      const file = join(directory, name);
      const golden: Golden = JSON.parse(readFileSync(file, "utf8"));
      const { retention, timeZone } = golden;
      const { keep, remove } = applyRetention(list, retention, {
        asOf: new Date(asOf),
        ...(timeZone && { timeZone }),
      });
      const show = (decisions: typeof keep) =>
        Object.fromEntries(
          decisions.map(({ point, reasons }) => [
            `${point.id} ${point.time.toISOString().slice(0, 16)}`,
            reasons.join("; "),
          ]),
        );
      const actual: Golden = {
        retention,
        ...(timeZone && { timeZone }),
        keep: show(keep),
        remove: show(remove),
      };
      if (process.env.UPDATE_GOLDEN) writeFileSync(file, `${JSON.stringify(actual, null, 2)}\n`);
      else assert.deepEqual(actual, golden);
    });
  }
});
