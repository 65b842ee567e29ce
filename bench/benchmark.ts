/** One line of the table: what was measured, and the bar it is held to. */
export interface Row {
  what: string;
  /** With its unit. */
  measured: string;
  /** With its unit; "" where a figure is told without one. */
  bar: string;
  /** Undefined where there is no bar. */
  met?: boolean;
  note?: string;
}

/** A benchmark: one file of this folder exports one. */
export interface Benchmark {
  name: string;
  /** The section of docs/benchmarks.md that its rows belong to; default "bench". */
  section?: string;
  run(log: (line: string) => void): Promise<Row[]>;
}

/** The middle value; of an even number of values the lower middle one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
}

/** A row of a ratio that must not exceed `bar`. */
export function ratioRow(what: string, ratio: number, bar: number, note?: string): Row {
  return {
    what,
    measured: ratio.toFixed(2),
    bar: `≤ ${bar}`,
    met: ratio <= bar,
    ...(note === undefined ? {} : { note }),
  };
}
