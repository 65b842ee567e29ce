import { readFile } from "node:fs/promises";
import { processStat } from "../base/process-stat";

/**
 * How long restic may do nothing, in seconds. A repository on this machine answers at once; over the network restic
 * itself tries for 15 minutes, and may still come through. Tests shorten them.
 */
export const mostStill = { localSeconds: 240, remoteSeconds: 1200 };

/** less than this is the lock, which even a restic that has come to a standstill writes anew every five minutes */
const idleBytes = 64 * 1024;
const idleCpuShare = 0.05;
const ticksPerSecond = 100;

interface Options {
  /** undefined: never */
  seconds: number | undefined;
  /** what it has written for this process to read */
  outputBytes: () => Promise<number>;
  /** it cannot go on before this process writes or reads */
  waitsForUs: () => boolean;
  onStill: () => void;
}

interface Work {
  bytes: number;
  cpuSeconds: number;
}

/**
 * Tells when a process does nothing any more: it moves no data, uses no CPU and says nothing new. restic 0.14 waits for
 * ever, and says nothing of it, when the last of its uploaders fails while packs are still to come, as on a full disk.
 * Where the machine does not tell what a process does, it is never called still.
 */
export class Stillness {
  private readonly timer: NodeJS.Timeout | undefined;
  private heard: string | undefined;
  private last: { work: Work; heard: string | undefined; at: number } | undefined;

  constructor(
    private readonly pid: number,
    private readonly options: Options,
  ) {
    const { seconds } = options;
    if (seconds !== undefined)
      this.timer = setInterval(() => void this.look(seconds).catch(() => {}), (seconds * 1000) / 8).unref();
  }

  /** Takes a line of the process; its clock is no news. */
  says(line: string): void {
    this.heard = line.replace(/"seconds_\w+":\d+,?/g, "");
  }

  end(): void {
    clearInterval(this.timer);
  }

  private async look(seconds: number): Promise<void> {
    const work = await this.work();
    if (work === undefined) return;
    const last = this.last;
    const heard = this.heard;
    const at = performance.now();
    const elapsed = last ? (at - last.at) / 1000 : 0;
    if (
      last === undefined ||
      this.options.waitsForUs() ||
      heard !== last.heard ||
      work.bytes - last.work.bytes > idleBytes ||
      work.cpuSeconds - last.work.cpuSeconds > elapsed * idleCpuShare
    )
      this.last = { work, heard, at };
    else if (elapsed >= seconds) {
      this.end();
      this.options.onStill();
    }
  }

  private async work(): Promise<Work | undefined> {
    try {
      const io = await readFile(`/proc/${this.pid}/io`, "utf8");
      const stat = processStat(this.pid);
      if (stat === undefined) return undefined;
      const bytes = ["rchar", "wchar"].map(name =>
        Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(io)?.[1]),
      );
      return {
        bytes: (bytes[0] ?? 0) + (bytes[1] ?? 0) - (await this.options.outputBytes()),
        // utime and stime
        cpuSeconds: (Number(stat[11]) + Number(stat[12])) / ticksPerSecond,
      };
    } catch {
      return undefined;
    }
  }
}
