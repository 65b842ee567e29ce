import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const demo = join(__dirname, "..", "..", "dist", "devcloud", "demo", "main.js");

describe("demo", () => {
  it("proves the main job from end to end", async function () {
    this.timeout(400_000);
    assert.ok(existsSync(demo), "dist/ is missing, run `npm run build`");
    const { code, output } = await run(process.execPath, [demo]);
    assert.equal(code, 0, output);
    const last = output.trim().split("\n").at(-1) ?? "";
    assert.match(last, /^proven in \d+ s: /);
    for (const step of [
      "two sets were taken and backed up",
      "a second up changed nothing",
      "up took and removed exactly what preview had announced",
      "after a kill in the middle of restic nothing was doubled, orphaned or locked",
      "restored files equal those at the moment of the snapshot",
      "destroy left nothing in the cloud",
    ])
      assert.ok(last.includes(step), `not proven: ${step}\n${last}`);
    assert.match(output, /Backup sets as desired state, on (pulumi v[\d.]+|the embedded engine)/);
  });
});

function run(command: string, arguments_: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, arguments_, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", part => {
      output += part;
    });
    child.stderr.on("data", part => {
      output += part;
    });
    child.on("error", reject);
    child.on("close", code => resolve({ code, output }));
  });
}
