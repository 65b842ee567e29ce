import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { engineAddress } from "../../../provider/hosts/engine-watch";
import { until } from "../../until";

const repository = join(__dirname, "..", "..", "..");

describe("endWithEngine", () => {
  let work: string;
  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "osbackup-engine-watch-"));
  });
  afterEach(() => rmSync(work, { recursive: true, force: true }));

  it("ends a provider behind a shell within 10 s of its engine, though nobody reads what it prints", async () => {
    const sockets = new Set<Socket>();
    const engine = createServer(socket => {
      sockets.add(socket);
      socket.on("error", () => {});
    });
    await new Promise<void>(resolve => engine.listen(0, "127.0.0.1", resolve));
    const address = `127.0.0.1:${(engine.address() as AddressInfo).port}`;
    const script = join(work, "provider.ts");
    const pidFile = join(work, "pid");
    const abortFile = join(work, "aborted");
    writeFileSync(
      script,
      `import { writeFileSync } from "node:fs";
import { endWithEngine, engineAddress } from ${JSON.stringify(join(repository, "provider/hosts/engine-watch.ts"))};
process.on("uncaughtException", error => console.error(error.stack));
endWithEngine(engineAddress(), reason => writeFileSync(${JSON.stringify(abortFile)}, reason.message));
setInterval(() => console.log("x".repeat(1000)), 5);
writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));
`,
    );
    const shell = spawn(
      "/bin/sh",
      ["-c", '"$0" --import "$1" "$2" "$3"; true', process.execPath, require.resolve("tsx"), script, address],
      { cwd: repository, stdio: ["ignore", "pipe", "pipe"] },
    );
    const ended = new Promise<void>(resolve => shell.once("exit", () => resolve()));
    const pid = await until(
      "the pid",
      () => existsSync(pidFile) && (Number(readFileSync(pidFile, "utf8")) || false),
    );
    try {
      await until("two connections", () => sockets.size > 1);
      assert.ok(isAlive(pid));
      shell.stdout.destroy();
      shell.stderr.destroy();
      for (const socket of sockets) socket.destroy();
      engine.close();
      const begun = Date.now();
      await ended;
      assert.ok(Date.now() - begun < 10_000, `it took ${Date.now() - begun} ms`);
      assert.ok(!isAlive(pid));
      assert.equal(readFileSync(abortFile, "utf8"), "the engine is gone");
    } finally {
      if (isAlive(pid)) process.kill(pid, "SIGKILL");
    }
  }).timeout(60_000);

  it("finds the engine's address among the arguments", () => {
    assert.equal(engineAddress(["node", "dynamic-provider", "127.0.0.1:40123"]), "127.0.0.1:40123");
    assert.equal(engineAddress(["node", "mocha", "tests/x.test.ts"]), undefined);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
