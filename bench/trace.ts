import { readdirSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

/** One call of the cloud, on the time axis of the way that made it. */
export interface Call {
  method: string;
  /** the path without ids and values */
  kind: string;
  /** seconds since the way began */
  from: number;
  to: number;
  status: number;
}

/** Calls through the proxy and CPU time by program, between two moments. */
export interface Trace {
  calls: Call[];
  seconds: number;
  /** CPU seconds by program, the busiest first */
  cpu: [program: string, seconds: number][];
}

export interface Tracer {
  url: string;
  begin(): void;
  end(): Trace;
  stop(): void;
}

/** A proxy of plain HTTP that writes down what goes through it, and how long the cloud took to answer. */
export async function tracingProxy(): Promise<Tracer> {
  let calls: Call[] = [];
  let begun = Date.now();
  let cpuBefore = cpuByProgram();
  const since = () => (Date.now() - begun) / 1000;
  const server = createServer((incoming, outgoing) => {
    const call: Call = {
      method: incoming.method ?? "",
      kind: kindOf(incoming.url ?? ""),
      from: since(),
      to: Number.NaN,
      status: 0,
    };
    calls.push(call);
    const onward = request(
      new URL(incoming.url as string),
      { method: incoming.method, headers: incoming.headers },
      answer => {
        call.status = answer.statusCode ?? 502;
        outgoing.writeHead(call.status, answer.headers);
        answer.pipe(outgoing);
        answer.on("end", () => {
          call.to = since();
        });
      },
    );
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    begin() {
      calls = [];
      cpuBefore = cpuByProgram();
      begun = Date.now();
    },
    end() {
      const cpu = [...cpuByProgram()]
        .map(([program, seconds]): [string, number] => [program, seconds - (cpuBefore.get(program) ?? 0)])
        .filter(([, seconds]) => seconds >= 0.1)
        .sort(([, a], [, b]) => b - a);
      return { calls, seconds: since(), cpu };
    },
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A request's path without its ids and values. */
export function kindOf(asked: string): string {
  return asked
    .replace(/^.*\/v3\/(?:[0-9a-f]{32}\/)?/, "")
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "…")
    .replace(/\?(.*)$/, (_, query: string) => `?${query.replaceAll(/=[^&]*/g, "")}`);
}

/** What a program is called here, by its command line; the first that matches. */
const programs: [RegExp, string][] = [
  [/cinder-volume/, "cinder-volume and its commands"],
  [/cinder-scheduler/, "cinder-scheduler"],
  [/rootwrap|privsep/, "rootwrap"],
  [/cinder.*(wsgi|api)|(wsgi|api).*cinder/, "cinder's API"],
  [/keystone/, "Keystone"],
  [/mariadbd|mysqld/, "MariaDB"],
  [/beam\.smp|rabbit/, "RabbitMQ"],
  [/ceph-|radosgw/, "Ceph"],
];

/** CPU seconds by program so far, with those of children that have ended; this process and its own stand as "client". */
function cpuByProgram(): Map<string, number> {
  const sums = new Map<string, number>();
  for (const pid of readdirSync("/proc").filter(name => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      const words = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const ticks = words.slice(11, 15).reduce((sum, word) => sum + Number(word), 0);
      const program =
        Number(pid) === process.pid
          ? "client"
          : (programs.find(([pattern]) => pattern.test(command))?.[1] ?? "others");
      sums.set(program, (sums.get(program) ?? 0) + ticks / 100);
    } catch {
      // it has just ended
    }
  }
  return sums;
}

/** The trace in a few lines: the calls by kind, when what began and ended, and who used the processors. */
export function describeTrace({ calls, seconds, cpu }: Trace): string[] {
  const kinds = new Map<string, Call[]>();
  for (const call of calls) {
    const kind = `${call.method} ${call.kind}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), call]);
  }
  const took = (list: Call[]) => list.reduce((sum, { from, to }) => sum + (to - from || 0), 0);
  return [
    ...[...kinds]
      .sort(([, a], [, b]) => took(b) - took(a))
      .slice(0, 8)
      .map(([kind, list]) => {
        const first = Math.min(...list.map(({ from }) => from));
        const last = Math.max(...list.map(({ to }) => to || 0));
        return `${kind}: ${list.length} calls, ${((took(list) / list.length) * 1000).toFixed(0)} ms each, ${took(list).toFixed(1)} s together, from ${first.toFixed(1)} s to ${last.toFixed(1)} s`;
      }),
    `CPU of ${seconds.toFixed(1)} s: ${cpu.map(([program, used]) => `${program} ${used.toFixed(1)} s`).join(", ")}`,
  ];
}
