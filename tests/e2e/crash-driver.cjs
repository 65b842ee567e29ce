// What an engine does with one protected volume: check, then create, update or replace each resource in order, and
// store what came back after every step. Arguments: the plan and the state, two JSON files. Runs on dist/, because a
// child process with tsx takes seconds to start.
const { existsSync, readFileSync, renameSync, writeFileSync } = require("node:fs");
const { dynamicProvider } = require("../../dist/provider/hosts/dynamic.js");

const [planFile, stateFile] = process.argv.slice(2);
const plan = JSON.parse(readFileSync(planFile, "utf8"));
const state = existsSync(stateFile)
  ? JSON.parse(readFileSync(stateFile, "utf8"))
  : { resources: {}, toDelete: [] };

function save() {
  writeFileSync(`${stateFile}.new`, JSON.stringify(state));
  renameSync(`${stateFile}.new`, stateFile);
}

async function up(type, news) {
  const provider = dynamicProvider(type);
  const before = state.resources[type];
  const { inputs, failures } = await provider.check(before ? before.outs : {}, news);
  if (failures.length > 0) throw new Error(JSON.stringify(failures));
  const { changes, replaces } = before
    ? await provider.diff(before.id, before.outs, inputs)
    : { changes: true, replaces: [] };
  if (!changes) return before.outs;
  if (before && replaces.length === 0) {
    before.outs = (await provider.update(before.id, before.outs, inputs)).outs;
  } else {
    state.resources[type] = await provider.create(inputs);
    if (before) state.toDelete.push({ type, ...before });
  }
  save();
  return state.resources[type].outs;
}

async function main() {
  const { volumeId, repository, paths, keepLast = 1 } = plan;
  const retention = { keepLast };
  const source = { owner: "crash/test/point", volumeId };
  const point = await up("CinderSnapshot", { ...source, schedule: "0 * * * *", retention });
  const { snapshotId, slot, takenAt } = point;
  const owner = "crash/test/temporary";
  const temporary = await up("TemporaryVolume", { owner, snapshotId, slot });
  if (repository)
    await up("ResticBackup", {
      owner: "crash/test/backup",
      snapshotId,
      slot,
      takenAt,
      temporaryVolume: { owner, volumeId: temporary.volumeId },
      repository,
      ...(paths && { paths }),
      retention,
    });
  for (const old of state.toDelete) await dynamicProvider(old.type).delete(old.id, old.outs);
  state.toDelete = [];
  save();
}

main().then(
  () => process.exit(0),
  error => {
    console.error(error.message);
    process.exit(1);
  },
);
