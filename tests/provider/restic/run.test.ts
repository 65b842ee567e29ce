import assert from "node:assert/strict";
import { access, chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findBinary, parentDeathWrapper, run } from "../../../provider/restic/run.js";
import { needs, skips } from "../../needs.js";
import { until } from "../../until.js";
import {
  isAlive,
  killHard,
  locksOf,
  newRepository,
  password,
  script,
  temporaryDirectory,
  tidyUp,
} from "./fixture.js";

const environment = { PATH: process.env.PATH ?? "" };

async function program(body: string): Promise<string> {
  const path = join(await temporaryDirectory(), "program");
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
  return path;
}

describe("run", () => {
  after(tidyUp);

  it("gives exit code and both streams", async () => {
    const binary = await program('echo "$1"; echo problem >&2; exit 7');
    const { pid, ...finished } = await run({ binary, arguments: ["--a b"], environment });
    assert.ok(pid > 0);
    assert.deepEqual(finished, {
      exitCode: 7,
      stdout: "--a b\n",
      stderr: ["problem"],
      stopped: undefined,
      killed: false,
    });
  });

  it("closes standard input, so that nothing waits for a password", async () => {
    const binary = await program("cat; echo end");
    const finished = await run({ binary, arguments: [], environment, timeoutSeconds: 5 });
    assert.equal(finished.stdout, "end\n");
  });

  it("gives the child no variable that was not named", async () => {
    process.env.OS_PASSWORD_OF_THIS_PROCESS = "secret";
    try {
      const finished = await run({
        binary: await findBinary("env"),
        arguments: [],
        environment: { ONLY: "this" },
      });
      assert.equal(finished.stdout, "ONLY=this\n");
    } finally {
      delete process.env.OS_PASSWORD_OF_THIS_PROCESS;
    }
  });

  it("stops with SIGINT, never SIGTERM", async () => {
    const binary = await program(
      "trap 'echo INT; exit 130' INT; trap 'echo TERM; exit 143' TERM; while :; do sleep 0.05; done",
    );
    const finished = await run({ binary, arguments: [], environment, timeoutSeconds: 0.5 });
    assert.equal(finished.stdout, "INT\n");
    assert.equal(finished.stopped, "timeout");
    assert.equal(finished.exitCode, 130);
  });

  it("ends in spite of a grandchild that holds the pipes", async function () {
    this.timeout(20_000);
    const binary = await program("sleep 600 & echo $!; exit 0");
    const finished = await run({ binary, arguments: [], environment });
    assert.equal(finished.exitCode, 0);
    const grandchild = Number(finished.stdout);
    assert.ok(isAlive(grandchild));
    process.kill(grandchild);
  });

  it("keeps the first and the last lines of a long standard error", async () => {
    const binary = await program("i=0; while [ $i -lt 1000 ]; do echo line $i >&2; i=$((i+1)); done");
    const { stderr } = await run({ binary, arguments: [], environment });
    assert.equal(stderr.length, 400);
    assert.deepEqual(
      [stderr[0], stderr[99], stderr[100], stderr[399]],
      ["line 0", "line 99", "line 700", "line 999"],
    );
  });

  it("takes the terminal's control sequences out", async () => {
    const binary = await program("printf '\\033[2Ksignal\\n' >&2");
    assert.deepEqual((await run({ binary, arguments: [], environment })).stderr, ["signal"]);
  });

  it("rejects with what a callback throws, when the child has ended", async () => {
    const binary = await program("echo line; sleep 0.6; exit 0");
    const onLine = () => {
      throw new Error("of the caller");
    };
    await assert.rejects(run({ binary, arguments: [], environment, onLine }), { message: "of the caller" });
  });

  describe("of a process that does nothing any more", () => {
    const stillSeconds = 1;
    const ending = { arguments: [], environment, timeoutSeconds: 4 };

    it("ends it, though it tells the time", async function () {
      this.timeout(20_000);
      const binary = await program(
        `n=0; while :; do n=$((n+1)); echo '{"seconds_elapsed":'$n',"bytes_done":7}'; sleep 0.2; done`,
      );
      const finished = await run({ ...ending, binary, stillSeconds, onLine: () => {} });
      assert.equal(finished.stopped, "still");
    });

    for (const [what, body, more] of [
      ["says something new", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.2; done", { onLine: () => {} }],
      [
        "moves data",
        "while :; do echo $(head -c 100000 /dev/zero | tr '\\0' x) > /dev/null; sleep 0.2; done",
        {},
      ],
      ["uses the processor", "while :; do :; done", {}],
      ["waits for its input", "exec cat", { feed: () => {} }],
    ] as const)
      it(`lets one be that ${what}`, async function () {
        this.timeout(20_000);
        const finished = await run({ ...ending, binary: await program(body), stillSeconds, ...more });
        assert.equal(finished.stopped, "timeout");
      });
  });

  for (const [name, withSetpriv] of [
    ["setpriv", true],
    ["a watching shell, where there is no setpriv", false],
  ] as const)
    it(`ends restic, its lock and a half-read stream without a snapshot when this process is killed: by ${name}`, async function () {
      this.timeout(30_000);
      if (withSetpriv) needs(this, "setpriv");
      if (withSetpriv && (await parentDeathWrapper()).length === 0) skips(this, "setpriv has no --pdeathsig");
      const { repository, path, directory } = await newRepository();
      const bin = join(directory, "bin");
      await mkdir(bin);
      await symlink(await findBinary("restic"), join(bin, "restic"));
      if (withSetpriv) await symlink(await findBinary("setpriv"), join(bin, "setpriv"));
      for (const name of ["true", "sleep"]) await symlink(await findBinary(name), join(bin, name));
      const parent = script(
        `const { Readable } = require("node:stream");
        const stream = new Readable({ read() {} });
        stream.push(Buffer.alloc(1000));
        openRepository({ url: ${JSON.stringify(path)}, password: ${JSON.stringify(password)} }, { cacheDirectory: ${JSON.stringify(join(directory, "cache"))} })
          .backup({ stdin: { stream, fileName: "v" }, host: "h", tags: [], onStarted: pid => console.log(pid) });`,
        { PATH: bin, HOME: directory },
      );
      let pid = 0;
      parent.stdout?.on("data", chunk => {
        pid = Number(chunk);
      });
      await until("restic and its lock", async () => pid > 0 && (await locksOf(path)).length === 1);
      // past the moment in which restic 0.14 forgets its lock on an interrupt
      await new Promise(done => setTimeout(done, 700));
      await killHard(parent);
      await until("the end of restic", () => !isAlive(pid));
      assert.deepEqual(await locksOf(path), []);
      assert.deepEqual(await repository.snapshots(), []);
    });
});

describe("run with a stream", () => {
  after(tidyUp);

  for (const [name, path] of [
    ["setpriv", process.env.PATH ?? ""],
    ["a watching shell", ""],
  ] as const)
    it(`does not show its own death as the end of the stream, however slow the other is to end: by ${name}`, async function () {
      this.timeout(30_000);
      const mark = join(await temporaryDirectory(), "end-of-stream");
      const slow = await program(`trap '' INT; cat > /dev/null; echo > ${mark}; sleep 60`);
      const bin = await temporaryDirectory();
      for (const tool of ["true", "sleep", "cat"]) await symlink(await findBinary(tool), join(bin, tool));
      const parent = script(
        `const { run, grace } = require(provider + "/run.ts");
        grace.seconds = 2;
        run({
          binary: ${JSON.stringify(slow)}, arguments: [], environment: { PATH: process.env.PATH },
          feed: sink => sink.write("data"), onStarted: pid => console.log(pid),
        });
        setTimeout(() => {}, 60000);`,
        { PATH: path || bin },
      );
      let pid = 0;
      parent.stdout?.on("data", chunk => {
        pid = Number(chunk);
      });
      await until("the start", () => pid > 0);
      await new Promise(done => setTimeout(done, 300));
      await killHard(parent);
      await until("its end", () => !isAlive(pid));
      await assert.rejects(access(mark), { code: "ENOENT" });
    });
});

describe("findBinary", () => {
  it("searches PATH, and takes a path as it is", async () => {
    assert.match(await findBinary("restic"), /^\/.*\/restic$/);
    await assert.rejects(findBinary("./restic"), { kind: "not-installed" });
    await assert.rejects(findBinary("no-such-program"), {
      kind: "not-installed",
      message: "looking for no-such-program: not found in PATH; install it or give its path",
    });
  });
});
