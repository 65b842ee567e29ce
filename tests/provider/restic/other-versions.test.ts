import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isNoRepository, type ResticError } from "../../../provider/restic/errors.js";
import { openRepository, type RepositoryOptions } from "../../../provider/restic/repository.js";
import { fakeRestic, password, temporaryDirectory, tidyUp, volume } from "./fixture.js";

/** A repository behind a program that answers like that version, and the arguments of each call but `version`. */
async function answering(version: string, answer: string, options: RepositoryOptions = {}) {
  const calls = join(await temporaryDirectory(), "calls");
  const record = `require("node:fs").appendFileSync(${JSON.stringify(calls)}, JSON.stringify(args) + "\\n");`;
  const binary = await fakeRestic(version, `${record}\n${answer}`);
  return {
    repository: openRepository(
      { url: "s3:https://host/bucket", password },
      { binary, lockWaitSeconds: 0, ...options },
    ),
    calls: async (): Promise<string[][]> =>
      (await readFile(calls, "utf8"))
        .trim()
        .split("\n")
        .map(line => JSON.parse(line) as string[]),
  };
}

const exitError = (code: number, message: string) =>
  `err({ message_type: "exit_error", code: ${code}, message: ${JSON.stringify(message)} }); exit(${code});`;

const id = "5b0c3f7d9e2a41864b0c3f7d9e2a41864b0c3f7d9e2a41864b0c3f7d9e2a4186";
const row = {
  time: "2026-11-20T03:00:00Z",
  parent: "1".repeat(64),
  tree: "2".repeat(64),
  paths: ["/v"],
  hostname: "h",
  username: "root",
  tags: ["t"],
  program_version: "restic 0.19.1",
  summary: { files_new: 1, total_files_processed: 2 },
  id,
  short_id: id.slice(0, 8),
};

describe("Repository with another version of restic", () => {
  after(tidyUp);

  it("knows an absent repository by exit code 10", async () => {
    const { repository, calls } = await answering(
      "0.18.0",
      exitError(
        10,
        "Fatal: repository does not exist: unable to open config file: client.StatObject: anything\nIs there a repository at the following location?\ns3:https://host/bucket",
      ),
    );
    assert.equal(await repository.exists(), false);
    assert.deepEqual(await calls(), [["cat", "config", "--no-lock"]]);
    await assert.rejects(repository.snapshots(), (error: ResticError) => {
      assert.ok(isNoRepository(error));
      assert.equal(
        error.message,
        "listing the snapshots of s3:https://host/bucket: repository does not exist: unable to open config file: client.StatObject: anything; " +
          "check its url, or put it back where it was (restic 0.18.0, exit 10)",
      );
      return true;
    });
  });

  it("knows a wrong password by exit code 12", async () => {
    const { repository } = await answering(
      "0.17.1",
      'err("Fatal: wrong password or no key found"); exit(12);',
    );
    await assert.rejects(repository.exists(), (error: ResticError) => {
      assert.equal(error.kind, "wrong-password");
      assert.equal(error.exitCode, 12);
      return true;
    });
  });

  it("never initialises on an exit code that it does not know", async () => {
    const { repository, calls } = await answering(
      "0.20.0",
      exitError(14, "Fatal: repository does not exist, perhaps"),
    );
    await assert.rejects(repository.ensureInitialised(), { kind: "failed", exitCode: 14 });
    assert.deepEqual(await calls(), [["cat", "config", "--no-lock"]]);
  });

  it("waits with --retry-lock after exit code 11, where restic has it", async () => {
    const message =
      "unable to create lock in backend: repository is already locked exclusively by PID 7 on elsewhere by root (UID 0, GID 0)\\nlock was created at 2026-11-22 00:56:35 (4s ago)\\nstorage ID 8cbe4724\\nthe `unlock` command can be used to remove stale locks";
    const { repository, calls } = await answering(
      "0.18.1",
      `if (args.includes("--retry-lock")) out("pruned");
      else { err({ message_type: "exit_error", code: 11, message: "${message}".replace("2026-11-22 00:56:35", new Date().toISOString().slice(0, 19).replace("T", " ")) }); exit(11); }`,
      { lockWaitSeconds: 20 },
    );
    await repository.prune();
    const [first, second] = await calls();
    assert.deepEqual(first, ["prune"]);
    assert.deepEqual([second?.[0], second?.[2]], ["--retry-lock", "prune"]);
    assert.match(second?.[1] ?? "", /^(19|20)s$/);
  });

  it("waits by itself where restic has no --retry-lock", async () => {
    const { repository, calls } = await answering(
      "0.15.2",
      `const tries = require("node:fs").readFileSync(__filename + ".tries", { flag: "a+", encoding: "utf8" }).length;
      require("node:fs").appendFileSync(__filename + ".tries", "x");
      if (tries === 0) { err("unable to create lock in backend: repository is already locked by PID 7 on elsewhere by root (UID 0, GID 0)\\nlock was created at " + new Date().toISOString().slice(0, 19).replace("T", " ") + " (4s ago)\\nstorage ID 8cbe4724"); exit(1); }`,
      { lockWaitSeconds: 20 },
    );
    await repository.prune();
    assert.deepEqual(await calls(), [["prune"], ["prune"]]);
  });

  it("reads a partial backup of restic 0.19, with lines of a megabyte", async () => {
    const { repository } = await answering(
      "0.19.1",
      `if (args[0] === "snapshots") out([${JSON.stringify(row)}]);
      else {
        out({ message_type: "status", seconds_elapsed: 1, percent_done: 0.5, total_files: 2, files_done: 1, total_bytes: 10, bytes_done: 5, current_files: ["/v/" + "x".repeat(1_000_000)] });
        err({ message_type: "error", error: { message: "open " + process.cwd() + "/f2: permission denied" }, during: "archival", item: process.cwd() + "/f2" });
        err("Warning: something in plain text");
        out({ message_type: "summary", files_new: 1, files_changed: 0, files_unmodified: 1, data_added: 12, data_added_packed: 7, total_files_processed: 2, total_bytes_processed: 10, total_duration: 1.5, backup_start: "2026-11-20T03:00:00Z", backup_end: "2026-11-20T03:00:01Z", snapshot_id: ${JSON.stringify(id)} });
        err({ message_type: "exit_error", code: 3, message: "Warning: at least one source file could not be read" });
        exit(3);
      }`,
    );
    const directory = await volume({ f1: "1", f2: "2" });
    const result = await repository.backup({ directory, host: "h", tags: ["t"] });
    assert.deepEqual(result, {
      snapshotId: id,
      tags: ["t"],
      partial: true,
      unreadable: [{ path: "f2", reason: `open ${directory}/f2: permission denied` }],
      unreadableCount: 1,
      filesNew: 1,
      filesChanged: 0,
      filesUnmodified: 1,
      filesTotal: 2,
      bytesTotal: 10,
      bytesAdded: 12,
      bytesStored: 7,
      durationSeconds: 1.5,
    });
    assert.deepEqual((await repository.snapshots())[0]?.summary, { files_new: 1, total_files_processed: 2 });
  });

  it("does not believe in a snapshot that the repository does not list, or lists without its tags", async () => {
    const summary = `out({ message_type: "summary", total_files_processed: 1, snapshot_id: ${JSON.stringify(id)} })`;
    const directory = await volume({ a: "1" });
    const { repository: silent } = await answering(
      "0.17.3",
      `if (args[0] === "snapshots") out("[]"); else ${summary};`,
    );
    await assert.rejects(silent.backup({ directory, host: "h", tags: ["t"] }), {
      message: `backing up ${directory} to s3:https://host/bucket: snapshot ${id} is not in the repository`,
    });
    const { repository: tagless } = await answering(
      "0.17.3",
      `if (args[0] === "snapshots") out([${JSON.stringify(row)}]); else ${summary};`,
    );
    await assert.rejects(tagless.backup({ directory, host: "h", tags: ["t", "set=a"] }), {
      message: `backing up ${directory} to s3:https://host/bucket: snapshot ${id} lacks the tags set=a`,
    });
    const { repository: nameless } = await answering("0.17.3", 'out({ message_type: "summary" });');
    await assert.rejects(nameless.backup({ directory, host: "h", tags: [] }), {
      message: `backing up ${directory} to s3:https://host/bucket: restic ended well but named no snapshot`,
    });
  });

  it("counts a snapshot as made when restic only failed after it", async () => {
    const log: string[] = [];
    const { repository } = await answering(
      "0.17.3",
      `if (args[0] === "snapshots") out([${JSON.stringify(row)}]);
      else { out({ message_type: "summary", total_files_processed: 1, snapshot_id: ${JSON.stringify(id)} }); err("unable to unlock: connection refused"); exit(1); }`,
      { log: line => log.push(line) },
    );
    const directory = await volume({ a: "1" });
    const { snapshotId, partial } = await repository.backup({ directory, host: "h", tags: ["t"] });
    assert.deepEqual({ snapshotId, partial }, { snapshotId: id, partial: false });
    assert.match(log.join("\n"), /was made, but afterwards: .*unable to unlock: connection refused/);
  });

  it("does not take a listing for complete that ended well with a warning", async () => {
    const { repository, calls } = await answering(
      "0.14.0",
      'err("could not load snapshots: context canceled"); out("[]");',
    );
    await assert.rejects(repository.snapshots(), {
      kind: "failed",
      message: "listing the snapshots of s3:https://host/bucket: could not load snapshots: context canceled",
    });
    assert.equal((await calls()).length, 3);
  });

  it("names the snapshots that could not be forgotten", async () => {
    const { repository } = await answering(
      "0.19.0",
      `if (args[0] === "snapshots") out([${JSON.stringify(row)}]);
      else { err("unable to remove snapshot: Object is WORM protected and cannot be overwritten"); exit(3); }`,
    );
    await assert.rejects(repository.forget([id, "f".repeat(64)]), {
      kind: "access-denied",
      exitCode: 3,
      remaining: [id],
      message: `forgetting 2 snapshots of s3:https://host/bucket: unable to remove snapshot: Object is WORM protected and cannot be overwritten; check the repository's credentials, and what they allow (restic 0.19.0, exit 3); still there: ${id}`,
    });
    const { repository: liar } = await answering(
      "0.14.0",
      `if (args[0] === "snapshots") out([${JSON.stringify(row)}]);`,
    );
    await assert.rejects(liar.forget([id]), {
      kind: "failed",
      message: `forgetting snapshot ${id} of s3:https://host/bucket: restic ended well; still there: ${id}`,
    });
  });

  it("restores a folder by snapshot:folder, where restic has it", async () => {
    const { repository, calls } = await answering("0.16.0", "");
    const target = await temporaryDirectory();
    await repository.restore(id, { target, sub: "etc/", verify: true });
    assert.deepEqual(await calls(), [
      ["restore", `${id}:/etc`, `--target=${target}`, "--verify", "--sparse"],
    ]);
  });

  it("refuses a restic that is too old, and a program that is none", async () => {
    const { repository: old } = await answering("0.13.1", "");
    await assert.rejects(old.exists(), {
      kind: "not-installed",
      message: "using restic 0.13.1: it is too old, install 0.14.0 or newer",
    });
    const nonsense = openRepository({ url: "/r", password }, { binary: "true" });
    await assert.rejects(nonsense.exists(), {
      kind: "not-installed",
      message: /^asking \/\S*\/true for its version: no answer$/,
    });
  });
});
