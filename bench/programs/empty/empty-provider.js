module.exports = {
  check: async (_olds, inputs) => ({ inputs, failures: [] }),
  diff: async () => ({ changes: false }),
  create: async () => ({ id: "1", outs: {} }),
  delete: async () => {},
};
