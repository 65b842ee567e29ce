const pulumi = require("@pulumi/pulumi");

// The least that Pulumi can do for so many dynamic resources: no inputs, no outputs, a provider that does nothing.
class Empty extends pulumi.CustomResource {
  constructor(name) {
    super("pulumi-nodejs:dynamic/bench:Empty", name, {
      __provider: 'exports.handler=()=>require("./empty-provider.js")',
    });
  }
}

for (let index = 0; index < Number(process.env.BENCH_COUNT); index++) new Empty(`empty-${index}`);
