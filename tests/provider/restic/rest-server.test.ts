import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { inspect } from "node:util";
import { isKind, type ResticError } from "../../../provider/restic/errors.js";
import { openRepository } from "../../../provider/restic/repository.js";
import { grace } from "../../../provider/restic/run.js";
import { ResticRuntime } from "../../../provider/restic/runtime.js";
import { needs, skips } from "../../needs.js";
import { until } from "../../until.js";
import { killHard, password, start, temporaryDirectory, tidyUp, volume } from "./fixture.js";

/** Half a minute. */
function needsOutage(context: Mocha.Context): void {
  if (process.env.OSBACKUP_TEST_SERVICES !== "1")
    skips(context, "is part of an outage, which OSBACKUP_TEST_SERVICES=1 runs");
}

describe("Repository on a REST server", function () {
  this.timeout(120_000);
  let server: ChildProcess;
  let port: number;
  let directory: string;

  before(async function () {
    needs(this, "rclone");
    directory = await temporaryDirectory();
    port = await freePort();
    await serve([]);
  });
  after(tidyUp);

  async function serve(options: string[]): Promise<void> {
    const data = join(directory, "data");
    await mkdir(data, { recursive: true });
    const words = [
      "serve",
      "restic",
      data,
      "--addr",
      `127.0.0.1:${port}`,
      "--user",
      "keeper",
      "--pass",
      "hunter22",
    ];
    server = start("rclone", [...words, ...options], { ...process.env, RCLONE_CONFIG: "/dev/null" });
    let said = "";
    server.stderr?.on("data", chunk => {
      said += chunk;
    });
    await until(
      "the server",
      () => said.includes("Serving restic REST API") || said.includes("http://127.0.0.1"),
    );
  }

  const runtime = new ResticRuntime();
  const at = (path: string, options: { user?: string } = {}) =>
    openRepository(
      { url: `rest:http://${options.user ?? "keeper:hunter22"}@127.0.0.1:${port}/${path}/`, password },
      { cacheDirectory: join(directory, "cache"), lockWaitSeconds: 0, runtime },
    );

  it("initialises where there is no config, once, and backs up", async () => {
    const repository = at("tenant");
    assert.equal(await repository.exists(), false);
    assert.deepEqual(
      (await Promise.all([repository.ensureInitialised(), at("tenant").ensureInitialised()])).sort(),
      ["created", "existing"],
    );
    const source = await volume({ a: "1", b: "2" });
    const first = await repository.backup({ directory: source, host: "h", tags: ["t"] });
    const second = await repository.backup({ directory: source, host: "h", tags: ["t"] });
    assert.equal(second.filesUnmodified, 2);
    await repository.forget([first.snapshotId]);
    assert.deepEqual(
      (await repository.snapshots()).map(snapshot => snapshot.id),
      [second.snapshotId],
    );
  });

  it("does not initialise when the server refuses the login, and shows no password", async () => {
    const error = await at("other", { user: "keeper:wrong-one" })
      .ensureInitialised()
      .catch((failure: unknown) => failure);
    assert.ok(isKind(error, "access-denied"));
    assert.equal(
      error.message,
      `opening rest:http://keeper:***@127.0.0.1:${port}/other/: unable to open config file: unexpected HTTP response (401): 401 Unauthorized; check the repository's credentials, and what they allow (restic 0.14.0, exit 1)`,
    );
    assert.equal(inspect(error, { depth: 9 }).includes("wrong-one"), false);
  });

  it("does not initialise when the server is gone, and ends a backup that loses it at its deadline", async function () {
    needsOutage(this);
    const repository = at("outage");
    await repository.ensureInitialised();
    const source = await volume({ a: randomBytes(150_000_000) });
    const packs = join(directory, "data", "outage", "data");
    const lost = repository.backup({
      directory: source,
      host: "h",
      tags: [],
      timeoutSeconds: 8,
      onStarted: () =>
        void until("the first pack", async () =>
          (await readdir(packs, { recursive: true })).some(name => name.length > 60),
        ).then(() => killHard(server)),
    });
    const usual = grace.seconds;
    grace.seconds = 2;
    await assert
      .rejects(lost, (error: ResticError) => {
        assert.ok(error.kind === "timeout" || error.kind === "unreachable", error.message);
        return true;
      })
      .finally(() => {
        grace.seconds = usual;
      });
    await assert.rejects(at("never").ensureInitialised(), { kind: "unreachable" });
    await serve([]);
    assert.deepEqual(await repository.snapshots(), []);
    const stale = await repository.unlockStale();
    assert.ok(stale <= 1);
    assert.equal((await repository.backup({ directory: source, host: "h", tags: [] })).filesNew, 1);
    await repository.prune();
  });

  it("reports the snapshots that an append-only server keeps", async function () {
    needsOutage(this);
    const repository = at("tenant");
    const [kept] = await repository.snapshots();
    assert.ok(kept);
    await killHard(server);
    await serve(["--append-only"]);
    await assert.rejects(repository.forget([kept.id]), (error: ResticError) => {
      assert.equal(error.kind, "access-denied");
      assert.deepEqual(error.remaining, [kept.id]);
      assert.match(error.message, new RegExp(`403 Forbidden.*; still there: ${kept.id}$`));
      return true;
    });
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
