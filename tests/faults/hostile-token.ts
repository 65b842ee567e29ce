import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { aSet, HostilePlace, hourOf, slotOf } from "./hostile-set";

/**
 * Two sets, each of whose backups takes longer than a token lives; so many slots of them.
 */
export async function outliveTokens(tokenSeconds: number, resticSeconds: number, slots = 1): Promise<void> {
  const place = await HostilePlace.open({ tokenLifetimeSeconds: tokenSeconds });
  const usualPath = process.env.PATH;
  try {
    const bin = path.join(place.directory, "bin");
    await mkdir(bin);
    const restic = execFileSync("sh", ["-c", "command -v restic"], { encoding: "utf8" }).trim();
    const slow = `#!/bin/sh\ncase " $* " in *" backup "*) sleep ${resticSeconds};; esac\nexec ${restic} "$@"\n`;
    await writeFile(path.join(bin, "restic"), slow, { mode: 0o755 });
    process.env.PATH = `${bin}:${usualPath}`;
    const stack = place.stack({ pg: await aSet(place, "pg", 1), web: await aSet(place, "web", 1) });
    for (let hour = 1; hour <= slots; hour++) {
      const before = place.cloud.requests.length;
      const begun = Date.now();
      await stack.upWell(hourOf(hour));
      assert.ok(Date.now() - begun > resticSeconds * 1000, "restic was not slow");
      const requests = place.cloud.requests.slice(before);
      const logins = requests.filter(
        ({ method, path }) => method === "POST" && path.includes("/auth/tokens"),
      );
      assert.ok(logins.length > 1, "no token had run out");
      // a new one is made when half of its life is over, by one login for both sets
      const most = ((Date.now() - begun) / 1000 / tokenSeconds) * 2 + 2;
      assert.ok(logins.length <= most, `${logins.length} logins, at most ${most}`);
      // one that ran out is not used, unless this machine stands still for the half of its life
      const refused = requests.filter(({ status }) => status === 401);
      if (tokenSeconds >= 20) assert.deepEqual(refused, []);
      for (const name of ["pg", "web"])
        assert.deepEqual(await place.resticSlots(stack.owner(`${name}-backup`)), [slotOf(hour)]);
      await stack.assertWhole();
    }
  } finally {
    process.env.PATH = usualPath;
    await place.close();
  }
}
