// A dynamic provider whose cloud is a directory: one JSON file per resource, and a log of the calls it got.
// What goes wrong, and when, is told by the inputs.
const fs = require("node:fs");
const path = require("node:path");

const directory = () => process.env.FILES_DIRECTORY;
const fileOf = id => path.join(directory(), `${id}.json`);
const log = (call, label) => fs.appendFileSync(path.join(directory(), "calls.log"), `${call} ${label}\n`);
const digest = content => `digest of ${JSON.stringify(content ?? null)}`;
const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const nextId = label => {
  const counter = path.join(directory(), `${label}.counter`);
  const number = fs.existsSync(counter) ? Number(fs.readFileSync(counter, "utf8")) + 1 : 1;
  fs.writeFileSync(counter, String(number));
  return `${label}-${number}`;
};
const fails = (inputs, call) => {
  if ((inputs.fail ?? "").split(",").includes(call))
    throw new Error(`${call} of ${inputs.label} fails as told`);
};
const outputs = inputs => ({
  ...inputs,
  digest: digest(inputs.content),
  ...(inputs.withToken ? { token: `token of ${inputs.label}` } : {}),
});
const partly = (id, inputs, call) => {
  if (inputs.partial !== call) return;
  const error = new Error(`${call} of ${inputs.label} is half done`);
  throw Object.assign(error, { id, properties: outputs(inputs), reasons: [`${inputs.label} is not ready`] });
};
const pause = inputs => new Promise(resolve => setTimeout(resolve, inputs.delayMs ?? 0));

module.exports = {
  async check(olds, news) {
    log("check", news.label);
    if (news.fail === "check") {
      return { inputs: news, failures: [{ property: "content", reason: "must not be so" }] };
    }
    return { inputs: { ...news, kind: news.kind ?? olds.kind ?? "plain" } };
  },

  async diff(_id, olds, news) {
    log("diff", news.label === unknown ? olds.label : news.label);
    fails(news, "diff");
    const keys = [...new Set([...Object.keys(news), ...Object.keys(olds)])].filter(
      key =>
        !["__provider", "digest", "token", "fail", "partial"].includes(key) &&
        JSON.stringify(olds[key]) !== JSON.stringify(news[key]),
    );
    return {
      changes: keys.length > 0,
      replaces: keys.filter(key => key === "path" || key === "place"),
      deleteBeforeReplace: keys.includes("place"),
    };
  },

  async create(inputs) {
    log("create", inputs.label);
    await pause(inputs);
    fails(inputs, "create");
    const id = nextId(inputs.label);
    fs.writeFileSync(fileOf(id), JSON.stringify({ content: inputs.content ?? null }));
    partly(id, inputs, "create");
    return { id, outs: outputs(inputs) };
  },

  async update(id, _olds, news) {
    log("update", id);
    fails(news, "update");
    fs.writeFileSync(fileOf(id), JSON.stringify({ content: news.content ?? null }));
    partly(id, news, "update");
    return { outs: outputs(news) };
  },

  async read(id, props) {
    log("read", id);
    fails(props, "read");
    if (!fs.existsSync(fileOf(id))) return { id: undefined, props: {} };
    const { content } = JSON.parse(fs.readFileSync(fileOf(id), "utf8"));
    return { id, props: { ...props, content, digest: digest(content) } };
  },

  async delete(id, props) {
    log("delete", id);
    if (props.fail === "delete" && !fs.existsSync(path.join(directory(), "deletable")))
      fails(props, "delete");
    fs.rmSync(fileOf(id), { force: true });
  },
};
