// The file provider, with its configuration in the outputs.
const provider = require("./file-provider.cjs");
let greeting;
module.exports = {
  ...provider,
  async configure({ config }) {
    greeting = `${config.get("greeting") ?? "none"}, ${config.get("other:name") ?? "nobody"}`;
  },
  async create(inputs) {
    const { id, outs } = await provider.create(inputs);
    return { id, outs: { ...outs, greeting } };
  },
  async delete(id, props) {
    require("node:fs").appendFileSync(`${process.env.FILES_DIRECTORY}/calls.log`, `configured ${greeting}\n`);
    return provider.delete(id, props);
  },
};
