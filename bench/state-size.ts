import { type Benchmark, median } from "./benchmark";
import { largeStacks } from "./sets";
import type { StoredResource } from "./stack";

/** What the engine stores of a set beyond its inputs and outputs. */
export const stateSize: Benchmark = {
  name: "state-size",
  async run(log) {
    const { sets } = await largeStacks(log);
    const stored = sets.resources().filter(({ type }) => type.endsWith(":CinderSnapshot"));
    const beyond = median(
      stored.map(resource => bytes(resource) - bytes(resource.inputs) - bytes(resource.outputs)),
    );
    const text = median(stored.map(({ inputs }) => bytes({ __provider: inputs?.__provider })));
    return [
      {
        what: "state per resource beyond inputs and outputs",
        measured: `${beyond} bytes`,
        bar: "≤ 700 bytes",
        met: beyond <= 700,
        note: `as compact JSON; Pulumi keeps the provider text, ${text} bytes, among the inputs and again among the outputs`,
      },
    ];
  },
};

function bytes(value: StoredResource | Record<string, unknown> | undefined): number {
  return Buffer.byteLength(JSON.stringify(value ?? {}));
}
