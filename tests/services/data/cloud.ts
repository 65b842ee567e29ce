import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { until } from "../../until";
import type { Client } from "../client";
import { type Openstack, openstack } from "../index";
import { servicesDirectory } from "../install";
import { settled } from "./host-volume";

const notHere = async (name: string): Promise<void> => {
  throw new Error(`ending ${name}: the cloud of \`npm run services -- up\` is not this process's`);
};

/** A cloud of its own; with OSBACKUP_SERVICES=up the one of `npm run services -- up`, which goes on afterwards. */
export async function cloudForTests(): Promise<Openstack> {
  const up = path.join(servicesDirectory(), "up.json");
  if (process.env.OSBACKUP_SERVICES !== "up" || !existsSync(up))
    return openstack({ backends: ["rbd", "nfs"] });
  return { ...JSON.parse(await readFile(up, "utf8")), outage: notHere, stop: async () => {} };
}

/** Makes a volume of 1 GiB. */
export async function makeVolume(client: Client, type: string): Promise<string> {
  const volume = { size: 1, name: "source", volume_type: type };
  const { id } = (await client.call("POST", "volumev3", "/volumes", { volume })).body.volume;
  const { status } = await settled(client, "volume", id);
  if (status !== "available") throw new Error(`making a volume of type ${type}: it is '${status}'`);
  return id;
}

/** Ids of everything in the project, each behind the word for what it is. */
export async function contentOf(client: Client): Promise<string[]> {
  const found: string[] = [];
  for (const kind of ["volume", "snapshot", "attachment"] as const) {
    const rows = (await client.call("GET", "volumev3", `/${kind}s`)).body[`${kind}s`];
    found.push(...rows.map((row: { id: string }) => `${kind} ${row.id}`));
  }
  return found;
}

/** Removes everything from the project, whatever a failed test has left. */
export async function emptyProject(client: Client): Promise<void> {
  await until("an empty project", async () => {
    const left = await contentOf(client);
    if (left.length === 0) return true;
    // Attachments first, volumes last: what is refused now is asked for again.
    for (const word of ["attachment", "snapshot", "volume"])
      for (const one of left.filter(name => name.startsWith(`${word} `)))
        await client.send("DELETE", "volumev3", `/${word}s/${one.slice(word.length + 1)}`);
    return undefined;
  });
}
