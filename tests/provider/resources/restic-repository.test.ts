import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { openRepository } from "../../../provider/restic";
import { Lifecycle } from "../../lifecycle";
import { locksOf, newRepository, password, tidyUp, until } from "../restic/fixture";
import { RecordedRestic } from "./recorded-restic";

describe("ResticRepository", function () {
  this.timeout(60_000);
  let work: string;
  let url: string;
  let recorded: RecordedRestic | undefined;

  beforeEach(async () => {
    work = mkdtempSync(`${tmpdir()}/osbackup-repository-`);
    url = (await newRepository()).path;
  });
  afterEach(() => {
    recorded?.restore();
    rmSync(work, { recursive: true, force: true });
  });
  after(tidyUp);

  const due = (kind: "check" | "prune" | "copy") => ({
    owner: "shop/prod/repository",
    url,
    password,
    [`${kind}Schedule`]: "hourly",
    ...(kind === "copy" ? { copyTo: { url: `${work}/second`, password } } : {}),
  });

  const begin = () => new Lifecycle({ OSBACKUP_NOW: "2026-11-22T10:10:00Z" });

  for (const kind of ["check", "prune", "copy"] as const) {
    it(`ends a ${kind} at its deadline`, async () => {
      recorded = new RecordedRestic(work);
      recorded.instead(kind, "exec sleep 60");
      if (kind === "copy") await aPoint();
      await assert.rejects(begin().up("ResticRepository", { ...due(kind), timeoutSeconds: 1 }), {
        name: "ResticError",
        kind: "timeout",
      });
      assert.deepEqual(await locksOf(url), []);
    });

    it(`ends a ${kind} when the run is cancelled`, async () => {
      recorded = new RecordedRestic(work);
      recorded.instead(kind, "exec sleep 60");
      if (kind === "copy") await aPoint();
      const run = begin();
      const outcome = assert.rejects(run.up("ResticRepository", due(kind)), {
        name: "ResticError",
        kind: "cancelled",
      });
      const seen: string[] = [];
      await until(() => seen.push(...(recorded?.commands() ?? [])) > 0 && seen.includes(kind), kind);
      run.abort(new Error("cancelled by the test"));
      await outcome;
    });
  }

  async function aPoint(): Promise<void> {
    await openRepository({ url, password }).backup({ directory: __dirname, host: "h", tags: ["t"] });
  }
});
