import type { Benchmark } from "./benchmark";
import { count, largeStacks } from "./sets";

/** The most memory that the provider process had while it made a thousand sets. */
export const providerMemory: Benchmark = {
  name: "provider-memory",
  async run(log) {
    const { created } = await largeStacks(log);
    const megabytes = created.providerBytes / 1e6;
    return [
      {
        what: `peak memory of the provider process, create of ${count} sets`,
        measured: `${megabytes.toFixed(0)} MB`,
        bar: "< 300 MB",
        met: megabytes > 0 && megabytes < 300,
      },
    ];
  },
};
