import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { stringify } from "yaml";
import { converted } from "./convert/convert";
import { type Converted, configCommands, serverProgram } from "./convert/source";

/** What a new stack is for. */
export interface InitOptions {
  /** Id of a volume to back up. */
  volume?: string;
  /** Name or id of a server to keep images of. */
  server?: string;
  /** Another system's file, as `osbackup convert` reads it. */
  from?: string;
  cloud?: string;
}

/**
 * Makes a folder with a stack that runs as it is: its program, its Pulumi.yaml, and what it needs to be installed. Nothing
 * that is there is overwritten.
 */
export async function init(folder: string, options: InitOptions): Promise<void> {
  const { volume, server, from } = options;
  if ([volume, server, from].filter(given => given !== undefined).length !== 1)
    throw new Error("say what the stack is for: --volume <id>, --server <name or id> or --from <file>");
  const directory = path.resolve(folder);
  if (existsSync(directory) && (await readdir(directory)).length > 0)
    throw new Error(`${folder} is not empty: give a new folder`);
  const { program, notes, config, values, file } =
    from !== undefined
      ? await fromFile(from, options)
      : volume !== undefined
        ? ofVolume(volume)
        : ofServer(server ?? "");
  for (const note of notes) console.error(note);

  const name = path.basename(directory).replaceAll(/[^\w.-]/g, "-") || "openstack-backup";
  await mkdir(directory, { recursive: true });
  const write = (file: string, text: string) => writeFile(path.join(directory, file), text);
  await write("index.ts", `${program}\n`);
  const description = "Backups of an OpenStack project, by schedule and retention.";
  await write("Pulumi.yaml", stringify({ name, description, runtime: "nodejs", main: "index.ts" }));
  const known = Object.entries({ ...values, ...(await answers(config)) });
  if (known.length > 0)
    await write(
      "Pulumi.dev.yaml",
      stringify({ config: Object.fromEntries(known.map(([key, value]) => [`${name}:${key}`, value])) }),
    );
  if (file !== undefined) await copyFile(file, path.join(directory, path.basename(file)));
  const installed = isInstalledFor(directory);
  // Pulumi warns of a program without one
  await write("package.json", `${JSON.stringify(manifest(name, installed, program), null, 2)}\n`);

  const asked = Object.fromEntries(
    Object.entries(config).filter(([key]) => !known.some(([had]) => had === key)),
  );
  console.log(
    [
      `made ${folder}: ${(await readdir(directory)).sort().join(", ")}. Next:`,
      `  cd ${folder}${installed ? "" : " && npm install"}`,
      "  pulumi stack init dev      # or in place of pulumi, without the Pulumi CLI: npx osbackup engine",
      ...configCommands(asked),
      "  pulumi preview",
    ].join("\n"),
  );
}

interface Start extends Converted {
  /** Configuration that is known. */
  values: Record<string, string>;
  /** A file that the program reads. */
  file?: string;
}

async function fromFile(from: string, { cloud }: InitOptions): Promise<Start> {
  const found = await converted(from, { offline: true, ...(cloud !== undefined && { cloud }) });
  const own = `./${path.basename(from)}`;
  // the program reads the file beside itself
  const program = found.program.replace(JSON.stringify(from), JSON.stringify(own));
  return { ...found, program, values: {}, ...(program !== found.program && { file: from }) };
}

const ofVolume = (volumeId: string): Start => ({
  program: `import * as pulumi from "@pulumi/pulumi";
import { pointLines, ResticRepository, VolumeBackup } from "pulumi-openstack-backup";

const config = new pulumi.Config();

const repository = new ResticRepository("repository", {
  url: config.require("repositoryUrl"),
  password: config.requireSecret("repositoryPassword"),
});

const volume = new VolumeBackup("volume", {
  volumeId: config.require("volumeId"),
  schedule: "daily-random", // once a day, at a time of its own
  repository,
  snapshot: { retention: { keepLast: 3 } }, // the Cinder snapshots
  retention: { keepDaily: 7, keepWeekly: 4, keepMonthly: 6 }, // the restic snapshots
});

export const points = pointLines(volume.points);
export const nextDue = volume.nextDue;`,
  notes: [],
  values: { volumeId },
  config: {
    repositoryUrl: { what: "/srv/restic, s3:https://host/bucket, rest:… or sftp:…" },
    repositoryPassword: { what: "8 characters or more; keep it where the stack is not", secret: true },
  },
});

const ofServer = (server: string): Start => ({
  // daily 7, weekly 4, monthly 12, yearly 2
  program: serverProgram('new ServerBackupPlan("server", { serverId: server.id, serverName: server.name })'),
  notes: [],
  values: { server },
  config: {},
});

/** Asks for what is no secret, where somebody is there to answer; an empty answer leaves it for later. */
async function answers(config: Converted["config"]): Promise<Record<string, string>> {
  if (!process.stdin.isTTY) return {};
  const { default: input } = await import("@inquirer/input");
  const given: Record<string, string> = {};
  for (const [key, { what, secret }] of Object.entries(config)) {
    if (secret) continue;
    const answer = await input({ message: `${key} (${what}):` });
    if (answer !== "") given[key] = answer;
  }
  return given;
}

const ours = "pulumi-openstack-backup";

/** Whether a program in the folder finds this package already. */
function isInstalledFor(directory: string): boolean {
  try {
    // a require of its own: from here the package finds itself
    createRequire(path.join(directory, "index.js")).resolve(`${ours}/package.json`);
    return true;
  } catch {
    return false;
  }
}

function manifest(name: string, installed: boolean, program: string): object {
  const common = { name: name.toLowerCase(), private: true };
  if (installed) return common;
  const root = path.join(__dirname, "..", "..", "..");
  const { version, peerDependencies } = require(path.join(root, "package.json")) as {
    version: string;
    peerDependencies: Record<string, string>;
  };
  // a checkout is used as it is
  const isCheckout = existsSync(path.join(root, "tsconfig.build.json"));
  return {
    ...common,
    dependencies: {
      "@pulumi/pulumi": peerDependencies["@pulumi/pulumi"],
      ...(program.includes("getClaimVolume") && {
        "@kubernetes/client-node": peerDependencies["@kubernetes/client-node"],
      }),
      [ours]: isCheckout ? `file:${root}` : `^${version}`,
      "ts-node": "^10.9.2",
      typescript: "^5.9.0 || ^6.0.0",
    },
  };
}
