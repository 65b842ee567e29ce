import { connect } from "node:net";
import { NobodyWaits } from "../restic";

/** Between two looks, and how many refusals one after another mean that the engine is gone. */
const lookEveryMs = 1_000;
const refusalsToBelieve = 2;
/** How long the work in hand may take to end, so that the process is gone 10 s after its engine. */
const endWithinMs = 6_000;

/**
 * Ends this process when its engine has ended (kill -9, a cancelled pipeline): `abort` at first, so that restic stops and
 * is undone, then the process. The parent does not tell: between the engine and its provider stands a shell, which stays.
 * @param address where the engine listens, `host:port`; without one only the parent is watched
 */
export function endWithEngine(address: string | undefined, abort: (reason: Error) => void): void {
  // a write into a pipe that nobody reads would be reported by another write into it, for ever
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const parent = process.ppid;
  let refusals = 0;
  const timer = setInterval(async () => {
    if (address !== undefined) refusals = (await refuses(address)) ? refusals + 1 : 0;
    if (process.ppid === parent && refusals < refusalsToBelieve) return;
    clearInterval(timer);
    setTimeout(() => process.exit(1), endWithinMs).unref();
    abort(new NobodyWaits("the engine is gone"));
  }, lookEveryMs);
  timer.unref();
}

/** The engine's address as Pulumi gives it to the process that hosts dynamic providers. */
export function engineAddress(argv: readonly string[] = process.argv): string | undefined {
  return argv.slice(2).find(argument => /^(127\.0\.0\.1|localhost|\[::1\]):\d+$/.test(argument));
}

/** Whether nobody listens there any more. A look that merely takes long says nothing. */
function refuses(address: string): Promise<boolean> {
  const colon = address.lastIndexOf(":");
  return new Promise(resolve => {
    const socket = connect({
      host: address.slice(0, colon).replace(/[[\]]/g, ""),
      port: Number(address.slice(colon + 1)),
    });
    const end = (isRefused: boolean) => {
      socket.destroy();
      resolve(isRefused);
    };
    socket.once("connect", () => end(false));
    socket.once("error", error => end((error as NodeJS.ErrnoException).code === "ECONNREFUSED"));
    socket.unref();
  });
}
