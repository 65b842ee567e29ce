import { spawnSync } from "node:child_process";
import path from "node:path";
import { type Benchmark, median } from "./benchmark";

const rounds = 15;

/** How long people wait for `osbackup --help`. */
export const startUp: Benchmark = {
  name: "start-up",
  async run() {
    const cli = path.resolve(__dirname, "../dist/provider/hosts/cli.js");
    const time = (arguments_: string[]) => {
      const from = process.hrtime.bigint();
      const { status } = spawnSync(process.execPath, arguments_, { stdio: "ignore" });
      if (status !== 0) throw new Error(`node ${arguments_.join(" ")} ended with ${status}`);
      return Number(process.hrtime.bigint() - from) / 1e9;
    };
    const ours: number[] = [];
    const bare: number[] = [];
    for (let round = 0; round < rounds; round++) {
      ours.push(time([cli, "--help"]));
      bare.push(time(["-e", "0"]));
    }
    const seconds = median(ours);
    return [
      {
        what: "start-up of `osbackup --help`",
        measured: `${seconds.toFixed(3)} s`,
        bar: "< 0.3 s",
        met: seconds < 0.3,
        note: `median of ${rounds}; node that does nothing takes ${median(bare).toFixed(3)} s`,
      },
    ];
  },
};
