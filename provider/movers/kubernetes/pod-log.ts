import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import { pause } from "../../base/pause";
import { statusOf, wordsOf } from "../../kubernetes/cluster";
import { containerName } from "./objects";
import type { Site } from "./site";

/** How long the end of a log may lag behind the end of its container. */
const lagMs = 10_000;

/** Of a log that could not be followed to its end this much is read again: the summary is its last line. */
const tailLines = 1_000;

/** The log of a pod, line by line while it runs, and to its end also where the stream breaks. */
export class PodLog {
  #following: Promise<"ended" | "broken"> | undefined;
  #abort: (() => void) | undefined;

  constructor(
    private readonly site: Site,
    private readonly pod: string,
    private readonly onLine: (line: string) => void,
  ) {}

  /** Begins to follow it, once. */
  follow(): void {
    this.#following ??= this.#stream();
  }

  async #stream(): Promise<"ended" | "broken"> {
    const { cluster, namespace } = this.site;
    const stream = new PassThrough();
    const lines = createInterface({ input: stream });
    lines.on("line", this.onLine);
    const ended = new Promise<"ended">(done => lines.once("close", () => done("ended")));
    try {
      const log = new cluster.library.Log(cluster.config);
      const request = await log.log(namespace, this.pod, containerName, stream, { follow: true });
      this.#abort = () => request.abort();
      return await ended;
    } catch {
      // a kubelet that is away; the end of the log is read once the pod has ended
      return "broken";
    }
  }

  /**
   * Reads what has not come yet, of a container that has ended; lines may come twice.
   *
   * @returns why it cannot be read, where it cannot
   */
  async finish(isComplete: () => boolean): Promise<string | undefined> {
    this.follow();
    const how = await Promise.race([this.#following, pause(lagMs).then(() => "late" as const)]);
    if (how === "ended" && isComplete()) return undefined;
    this.close();
    const { cluster, namespace } = this.site;
    const reading = cluster.core.readNamespacedPodLog({
      name: this.pod,
      namespace,
      container: containerName,
      tailLines,
    });
    const text = await Promise.race([
      reading.catch((error: unknown) => ({
        why: `${wordsOf(error)}${statusOf(error) === 403 ? "; the account needs the verb get for pods/log there" : ""}`,
      })),
      pause(lagMs).then(() => ({ why: "the kubelet does not answer" })),
    ]);
    if (typeof text !== "string") return text.why;
    for (const line of text.split("\n")) if (line !== "") this.onLine(line);
    return undefined;
  }

  /** Stops following it. */
  close(): void {
    this.#abort?.();
  }
}
