import { strict as assert } from "node:assert";
import { promises as fs } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileInImage, runDevcloud } from "../../devcloud";
import { Client } from "./client";

describe("runDevcloud", () => {
  let directory: string;

  beforeEach(async () => {
    directory = await fs.mkdtemp(path.join(tmpdir(), "devcloud-run-"));
  });
  afterEach(() => fs.rm(directory, { recursive: true, force: true }));

  /** Runs it until the lines are printed, gives them to the test, and ends it. */
  async function run(
    test: (environment: Record<string, string>, lines: string[]) => Promise<void>,
  ): Promise<void> {
    const lines: string[] = [];
    const ending = new AbortController();
    let printed = () => {};
    const complete = new Promise<void>(resolve => {
      printed = resolve;
    });
    const running = runDevcloud({
      directory,
      signal: ending.signal,
      print: line => {
        lines.push(line);
        if (line.startsWith("# end it")) printed();
      },
    });
    try {
      await Promise.race([complete, running]);
      const exported = lines.flatMap(line => {
        const match = /^export (OS_\w+)=(.*)$/.exec(line);
        return match ? [[match[1], match[2]]] : [];
      });
      await test(Object.fromEntries(exported), lines);
    } finally {
      ending.abort();
      await running;
    }
  }

  it("prints how to reach a server and volumes with files, and has them again the next time", async () => {
    let ids: string[] = [];
    await run(async (environment, lines) => {
      const demo = await Client.login(environment, "3.71");
      const { volumes } = (await demo.send("GET", "/volumes/detail")).body;
      assert.deepEqual(volumes.map(({ name }: { name: string }) => name).sort(), [
        "documents",
        "settings",
        "web-data",
      ]);
      ids = volumes.map(({ id }: { id: string }) => id).sort();
      for (const { id, name } of volumes) {
        const status = name === "web-data" ? "in-use" : "available";
        assert.ok(lines.includes(`#   ${id}  ${name}  1 GiB  ${status}`));
      }
      assert.match(lines.join("\n"), /^# servers:\n# {3}[0-9a-f-]{36} {2}web$/m);
      const settings = volumes.find(({ name }: { name: string }) => name === "settings").id;
      const attachment = await demo.send("POST", "/attachments", {
        attachment: { volume_uuid: settings, connector: { host: "h" } },
      });
      const { mount_point_base, name } = attachment.body.attachment.connection_info;
      const [share = ""] = await fs.readdir(mount_point_base);
      const image = path.join(mount_point_base, share, name);
      const { size } = await fs.stat("/etc/passwd");
      assert.equal((await fileInImage(image, "/passwd")).size, size);
      // Only what everybody may read is copied, even by root.
      await assert.rejects(fileInImage(image, "/shadow"), /no such file/);
    });
    await run(async environment => {
      const demo = await Client.login(environment, "3.71");
      const { volumes } = (await demo.send("GET", "/volumes")).body;
      assert.deepEqual(volumes.map(({ id }: { id: string }) => id).sort(), ids);
    });
  });
});
