// A provider that only creates and deletes: the engine itself must find what changed.
const { create, delete: remove } = require("./file-provider.cjs");
module.exports = { create, delete: remove };
