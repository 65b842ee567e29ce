import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import axios from "axios";
import { stackOf } from "../base/marks";
import { longestGapHours, parseSchedule } from "../operations/schedule";
import { metricsFile, writeMetrics } from "./metrics";
import type { SignalSettings } from "./settings";

/** The inputs, or the state, of a set of points. */
type Properties = Readonly<Record<string, unknown>>;

const sets = ["CinderSnapshot", "ServerSnapshot", "ServerBackup", "ResticBackup"];

/** Where its update fails, the engine skips all sets that copy into it: it speaks for them. It is no check of its own. */
const repositoryType = "ResticRepository";

/** How long an address may take to answer. */
const answerMs = 5_000;

/** After so many failures an address is not asked any more in this run. */
const mostFailures = 3;

/** The body of a failure, as healthchecks.io keeps it. */
const mostBytes = 10_000;

/**
 * What others are told of the sets of a run: a dead-man switch, a chat, Prometheus. None of it ever fails a backup, or
 * holds one up for longer than it takes an address not to answer.
 */
export class Signals {
  readonly #run = randomUUID();
  readonly #failures = new Map<string, number>();

  constructor(
    private readonly settings: SignalSettings,
    private readonly now: () => Date,
  ) {}

  /** Of one operation on a set; undefined where nobody is to be told, or it is no set of points. */
  of(type: string, inputs: Properties, warn: (line: string) => void): SetSignals | undefined {
    const isTold = [...sets, repositoryType].includes(type);
    if (!isTold || Object.keys(this.settings).length === 0 || typeof inputs.owner !== "string")
      return undefined;
    return new SetSignals(this.settings, this.now, (what, tell) => this.#try(what, tell, warn), {
      run: this.#run,
      type,
      inputs,
      owner: inputs.owner,
    });
  }

  async #try(what: string, tell: () => Promise<unknown>, warn: (line: string) => void): Promise<void> {
    if ((this.#failures.get(what) ?? 0) >= mostFailures) return;
    try {
      await tell();
      this.#failures.delete(what);
    } catch (error) {
      // others may have failed meanwhile
      const failures = (this.#failures.get(what) ?? 0) + 1;
      this.#failures.set(what, failures);
      const last = failures === mostFailures ? "; it is not tried again in this run" : "";
      warn(`${what}: ${reasonOf(error)}${last}`);
    }
  }
}

/** Without the address, which is a key in itself. */
function reasonOf(error: unknown): string {
  if (!axios.isAxiosError(error)) return (error as Error).message;
  if (error.response) return `it answered HTTP ${error.response.status}`;
  return error.code === "ECONNABORTED" ? `no answer in ${answerMs / 1000} s` : (error.code ?? "no answer");
}

interface Operation {
  run: string;
  type: string;
  inputs: Properties;
  owner: string;
}

/** The signals of one operation on one set. */
class SetSignals {
  #begun: Promise<void> | undefined;
  readonly #set: string;
  readonly #slug: string;

  constructor(
    private readonly settings: SignalSettings,
    private readonly now: () => Date,
    private readonly attempt: (what: string, tell: () => Promise<unknown>) => Promise<void>,
    private readonly operation: Operation,
  ) {
    const { inputs, owner } = operation;
    const name = owner.split("/").slice(2).join("/");
    this.#set = typeof inputs.set === "string" ? inputs.set : name;
    this.#slug = slugOf(`${stackOf(owner)}-${name}`);
  }

  /** Does not wait for an answer. An update that is of no new slot, of another retention say, is no run. */
  begun(state: Properties | undefined): void {
    const { slot, trigger, paused } = this.operation.inputs;
    if (this.operation.type === repositoryType) return;
    if (paused === true || (state && slot === state.slot && trigger === state.trigger)) return;
    this.#begun = this.#ping("/start", "");
  }

  async succeeded(state: Properties | undefined, outputs: Properties): Promise<void> {
    const newest = newestOf(outputs);
    // of snapshots that wait for their copy, the copy's success is that of the set
    if (this.#begun && this.operation.inputs.awaitsCopy !== true) {
      await this.#begun;
      await this.#ping("", "");
    }
    if (this.operation.type === repositoryType) {
      await this.#measure({ last_success_timestamp_seconds: seconds(this.now()) });
      return;
    }
    if (newest === undefined || newest === newestOf(state ?? {})) return;
    await this.#measure({ ...this.#numbersOf(outputs), last_success_timestamp_seconds: seconds(this.now()) });
  }

  async failed(error: unknown): Promise<void> {
    await this.#begun;
    const message = error instanceof Error ? error.message : String(error);
    const isRepository = this.operation.type === repositoryType;
    if (!isRepository) await this.#ping("/fail", message.slice(0, mostBytes));
    const { webhookUrl } = this.settings;
    const stack = stackOf(this.operation.owner);
    if (webhookUrl !== undefined)
      await this.attempt("openstackbackup:webhookUrl", () =>
        axios.post(
          webhookUrl,
          {
            text: `${isRepository ? "Repository" : "Backup of"} ${this.#set} in ${stack} failed: ${message}`,
          },
          { timeout: answerMs },
        ),
      );
    await this.#measure({ last_failure_timestamp_seconds: seconds(this.now()) });
  }

  /** Of a set that is no more. */
  async gone(): Promise<void> {
    const { metricsDirectory } = this.settings;
    if (metricsDirectory !== undefined)
      await this.attempt("openstackbackup:metricsDirectory", () =>
        rm(metricsFile(metricsDirectory, this.#slug), { force: true }),
      );
  }

  async #ping(path: "" | "/start" | "/fail", body: string): Promise<void> {
    const { pingUrl } = this.settings;
    if (pingUrl === undefined) return;
    const url = new URL(pingUrl.replaceAll("{set}", slugOf(`${stackOf(this.operation.owner)}-${this.#set}`)));
    url.pathname = `${url.pathname.replace(/\/$/, "")}${path}`;
    url.searchParams.set("rid", this.operation.run);
    await this.attempt("openstackbackup:pingUrl", () =>
      axios.post(url.href, body, { timeout: answerMs, headers: { "content-type": "text/plain" } }),
    );
  }

  async #measure(metrics: Parameters<typeof writeMetrics>[3]): Promise<void> {
    const { metricsDirectory } = this.settings;
    if (metricsDirectory === undefined) return;
    const { type, inputs, owner } = this.operation;
    const labels = {
      stack: stackOf(owner),
      set: this.#set,
      resource: owner.split("/").slice(2).join("/"),
      type,
    };
    const source = inputs.source as { volumeId?: unknown } | undefined;
    const origin = inputs.serverId ?? inputs.volumeId ?? source?.volumeId;
    await this.attempt("openstackbackup:metricsDirectory", () =>
      writeMetrics(metricsFile(metricsDirectory, this.#slug), labels, { of: String(origin ?? "") }, metrics),
    );
  }

  #numbersOf({ points, nextDue, durationSeconds, bytesAdded }: Properties) {
    const { schedule, timeZone, owner, awaitsCopy } = this.operation.inputs;
    // the copy may fail yet, and take its snapshot back: its numbers are those of the set
    const own = awaitsCopy === true ? undefined : points;
    const gap =
      typeof schedule === "string"
        ? longestGapHours(
            parseSchedule(schedule, { timeZone: String(timeZone ?? "UTC"), seed: String(owner) }),
            this.now(),
          )
        : undefined;
    return {
      newest_point_timestamp_seconds: secondsOf(
        (own as { takenAt?: unknown; good?: unknown }[] | undefined)?.find(isGood)?.takenAt,
      ),
      next_due_timestamp_seconds: secondsOf(nextDue),
      rpo_target_seconds: gap === undefined ? undefined : gap * 3600,
      duration_seconds: typeof durationSeconds === "number" ? durationSeconds : undefined,
      bytes_added: typeof bytesAdded === "number" ? bytesAdded : undefined,
      recovery_points: Array.isArray(own) ? own.length : undefined,
    };
  }
}

const isGood = (point: { good?: unknown }): boolean => point.good !== false;

const newestOf = ({ points }: Properties): string | undefined => {
  const [newest] = Array.isArray(points) ? points : [];
  return newest === undefined ? undefined : JSON.stringify(newest.takenAt ?? newest);
};

const seconds = (time: Date): number => Math.floor(time.getTime() / 1000);

function secondsOf(text: unknown): number | undefined {
  const time = typeof text === "string" ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : Math.floor(time / 1000);
}

/** As healthchecks.io takes it: small letters, digits and hyphens, 100 at most. */
const slugOf = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 100);
