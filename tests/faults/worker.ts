import type { Call } from "./cases";
import { type FaultCase, titleOf } from "./cases";
import { type Pictures, play, record } from "./play";
import { hung } from "./pool";
import { Scenario } from "./scenario";

/** What is sent to a worker: cases, one after the other. */
export type ToWorker = FaultCase | "end";

/** What a worker tells. */
export type FromWorker =
  | { kind: "ready"; calls: Call[]; pictures: Pictures }
  | { kind: "played"; one: FaultCase; problems: string[]; seconds: number };

/** A case takes some seconds; one that hangs is a failure of its own, and the end of its worker. */
const mostSeconds = 150;

/**
 * Plays cases in a folder of its own, the first argument, with the provider of the package in the second; on the real CLI
 * where the third is "pulumi".
 */
async function main(): Promise<void> {
  const [root = "", packageDirectory = "", engine] = process.argv.slice(2);
  const tell = (message: FromWorker) => process.send?.(message);
  const scenario = await Scenario.make(root, { packageDirectory, realCli: engine === "pulumi" });
  const { calls, pictures } = await record(scenario);
  process.on("message", async (message: ToWorker) => {
    if (message === "end") {
      await scenario.remove();
      process.exit(0);
    }
    const begun = Date.now();
    const late = setTimeout(() => {
      tell({
        kind: "played",
        one: message,
        problems: [`it did not end within ${mostSeconds} s`],
        seconds: mostSeconds,
      });
      setTimeout(() => process.exit(hung), 100);
    }, mostSeconds * 1000);
    const problems = await play(scenario, message, pictures).catch((error: Error) => [
      `${titleOf(message)} could not be played: ${error.stack}`,
    ]);
    clearTimeout(late);
    tell({ kind: "played", one: message, problems, seconds: (Date.now() - begun) / 1000 });
  });
  process.once("disconnect", () => process.exit(1));
  tell({ kind: "ready", calls, pictures });
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
