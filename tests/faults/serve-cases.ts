import { type Call, type FaultCase, titleOf } from "./cases";
import { type Pictures, record } from "./play";
import type { Scenario } from "./scenario";

/** What is sent to a worker: cases, one after the other. */
export type ToWorker = FaultCase | "end";

/** What a worker tells. */
export type FromWorker =
  | { kind: "ready"; calls: Call[]; pictures: Pictures }
  | { kind: "played"; one: FaultCase; problems: string[]; seconds: number };

/** The code of a worker whose case did not end: the others go on. */
export const hung = 3;

/** How a worker plays. */
export interface Served {
  scenario: Scenario;
  play(one: FaultCase, pictures: Pictures): Promise<string[]>;
  /** A case that takes longer hangs, which is a failure of its own, and the end of its worker. */
  mostSeconds: number;
}

/**
 * What gRPC says where a busy machine leaves the program and its engine, which are one process here, no time to connect.
 * Nothing of the provider has run then, and the case is played once more.
 */
const notConnected = "No connection established";

/** Plays the undisturbed stages, tells of them, and then plays the cases that the parent process sends. */
export async function serveCases(make: () => Promise<Served>): Promise<void> {
  const tell = (message: FromWorker) => process.send?.(message);
  try {
    const { scenario, play, mostSeconds } = await make();
    const { calls, pictures } = await record(scenario);
    // of a call that the program had begun, where its end has been told to the engine
    process.on("unhandledRejection", error => {
      if (!String(error).includes(notConnected)) throw error;
    });
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
      const once = () =>
        play(message, pictures).catch((error: Error) => [
          `${titleOf(message)} could not be played: ${error.stack}`,
        ]);
      const first = await once();
      const problems = first.join("\n").includes(notConnected) ? await once() : first;
      clearTimeout(late);
      tell({ kind: "played", one: message, problems, seconds: (Date.now() - begun) / 1000 });
    });
    process.once("disconnect", () => process.exit(1));
    tell({ kind: "ready", calls, pictures });
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
