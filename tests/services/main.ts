import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import type { Backend } from "./cinder";
import { type OpenstackEnvironment, signIn } from "./client";
import { type Openstack, openstack } from "./index";
import { servicesDirectory } from "./install";
import { Run } from "./run";

const usage = `usage: npm run services -- up [--nova] [--backends rbd,nfs] | down | status

  up      starts a real cloud in the background and prints the variables of its user demo
  down    stops it
  status  says what of it runs (exit code 1 if anything does not)`;

const stateFile = path.join(servicesDirectory(), "up.json");

type UpState = Omit<Openstack, "stop">;

async function readState(): Promise<UpState | undefined> {
  if (!existsSync(stateFile)) return undefined;
  const state: UpState = JSON.parse(await readFile(stateFile, "utf8"));
  // After a restart of the machine the folder may be gone.
  return existsSync(path.join(state.runDirectory, "run.json")) ? state : undefined;
}

function exportLines(environment: OpenstackEnvironment): string {
  return Object.entries(environment)
    .map(([name, value]) => `export ${name}='${value}'`)
    .join("\n");
}

async function up(backends: Backend[], nova: boolean): Promise<number> {
  const running = await readState();
  if (running) {
    console.error(
      `already up in ${running.runDirectory} (backends ${running.backends.join(", ")}); "down" stops it`,
    );
    console.log(exportLines(running.environment));
    return 0;
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      console.error("stopping");
      Run.interrupt();
    });
  }
  console.error("starting; the first time installs packages and prepares a template, which takes minutes");
  const begin = Date.now();
  const { stop: _, ...state } = await openstack({ backends, nova, persistent: true });
  await writeFile(stateFile, JSON.stringify(state, undefined, 2), { mode: 0o600 });
  console.error(
    `up after ${Math.round((Date.now() - begin) / 1000)} s; logs in ${path.join(state.runDirectory, "log")}`,
  );
  console.log(exportLines(state.environment));
  return 0;
}

async function down(): Promise<number> {
  const running = await readState();
  if (running) await Run.load(running.runDirectory).stop();
  await rm(stateFile, { force: true });
  console.error(running ? "stopped" : "nothing was up");
  return 0;
}

async function status(): Promise<number> {
  const running = await readState();
  if (!running) {
    console.error("down");
    return 1;
  }
  let healthy = true;
  for (const one of Run.load(running.runDirectory).processes()) {
    console.log(`${one.name} ${one.alive ? `runs, pid ${one.pid}` : "has ended"}`);
    healthy &&= one.alive;
  }
  const answer = await signIn(running.environment)
    .then(client => client.call("GET", "volumev3", "/volumes"))
    .then(
      () => "answers",
      (error: Error) => error.message,
    );
  console.log(`${running.environment.OS_AUTH_URL} ${answer}`);
  return healthy && answer === "answers" ? 0 : 1;
}

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { nova: { type: "boolean", default: false }, backends: { type: "string", default: "rbd,nfs" } },
  });
  const backends = values.backends.split(",") as Backend[];
  if (!backends.every(one => one === "rbd" || one === "nfs")) {
    console.error(`--backends ${values.backends}: expected rbd, nfs or both`);
    return 2;
  }
  const command = positionals.join(" ");
  if (command === "up") return up(backends, values.nova);
  if (command === "down") return down();
  if (command === "status") return status();
  console.error(usage);
  return 2;
}

main().then(
  code => process.exit(code),
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  },
);
