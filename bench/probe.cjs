// Loaded into the provider process of the creation benchmark: notes from when to when each call ran.
const { appendFileSync } = require("node:fs");
const Module = require("node:module");

if (process.env.BENCH_CALLS && process.argv[1]?.includes("dynamic-provider")) {
  const load = Module._load;
  Module._load = function (request, ...rest) {
    const loaded = load.call(this, request, ...rest);
    if (request !== "pulumi-openstack-backup/provider") return loaded;
    return { ...loaded, dynamicProvider: name => timed(loaded.dynamicProvider(name)) };
  };
}

function timed(provider) {
  const wrapped = { ...provider };
  for (const method of ["check", "diff", "create", "update", "read", "delete"])
    wrapped[method] = async (...given) => {
      const from = Date.now();
      try {
        return await provider[method](...given);
      } finally {
        appendFileSync(process.env.BENCH_CALLS, `${from} ${Date.now()}\n`);
      }
    };
  return wrapped;
}
