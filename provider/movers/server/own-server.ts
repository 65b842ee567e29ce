import { execFile } from "node:child_process";
import { access, mkdtemp, readFile, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { z } from "zod";

const execute = promisify(execFile);

/** Where this machine says which server of the cloud it is; tests have their own. */
export interface Surroundings {
  /** Source: https://docs.openstack.org/nova/latest/user/metadata.html */
  metadataUrl: string;
  /** The config drive, as udev names it. */
  configDrive: string;
  /** What the firmware says; root alone may read it. */
  productUuid: string;
  /** What cloud-init has noted. */
  instanceId: string;
}

const ofThisMachine: Surroundings = {
  metadataUrl: "http://169.254.169.254/openstack/latest/meta_data.json",
  configDrive: "/dev/disk/by-label/config-2",
  productUuid: "/sys/class/dmi/id/product_uuid",
  instanceId: "/var/lib/cloud/data/instance-id",
};

const metaData = z.looseObject({ uuid: z.guid() });
const uuid = z.guid().transform(text => text.toLowerCase());

/**
 * The id of the server that this machine is, by the metadata service, the config drive, the firmware (DMI) or what
 * cloud-init noted, whichever says it first.
 *
 * @param option by which it is said instead, for the error
 * @throws with what each of them said, where none knows
 */
export async function ownServerId(
  from: Surroundings = ofThisMachine,
  option = "--server <name or id>",
): Promise<string> {
  const ways: [string, () => Promise<string>][] = [
    ["metadata service", () => byMetadataService(from.metadataUrl)],
    ["config drive", () => byConfigDrive(from.configDrive)],
    ["DMI", async () => uuid.parse((await readFile(from.productUuid, "utf8")).trim())],
    ["cloud-init", async () => uuid.parse((await readFile(from.instanceId, "utf8")).trim())],
  ];
  const refusals: string[] = [];
  for (const [name, way] of ways) {
    try {
      return await way();
    } catch (error) {
      refusals.push(`${name}: ${reasonOf(error)}`);
    }
  }
  throw new Error(
    `this machine does not say which server it is (${refusals.join("; ")}); name it with ${option}`,
  );
}

function reasonOf(error: unknown): string {
  if (error instanceof z.ZodError) return "it names no id";
  const { code, message, cause } = error as { code?: string; message: string; cause?: { code?: string } };
  return code ?? cause?.code ?? message;
}

async function byMetadataService(url: string): Promise<string> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(3000) });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return metaData.parse(await answer.json()).uuid;
}

/** Read where it is mounted, by root where it is not. */
async function byConfigDrive(device: string): Promise<string> {
  const known = await execute("findmnt", ["--noheadings", "--output", "TARGET", "--source", device]).then(
    ({ stdout }) => stdout.split("\n")[0],
    () => undefined,
  );
  if (known) return read(known);
  await access(device);
  const folder = await mkdtemp(path.join(tmpdir(), "osbackup-config-drive-"));
  try {
    await execute("mount", ["--options", "ro", device, folder]);
    try {
      return await read(folder);
    } finally {
      await execute("umount", [folder]);
    }
  } finally {
    await rmdir(folder);
  }
}

async function read(folder: string): Promise<string> {
  const text = await readFile(path.join(folder, "openstack", "latest", "meta_data.json"), "utf8");
  return metaData.parse(JSON.parse(text)).uuid;
}
