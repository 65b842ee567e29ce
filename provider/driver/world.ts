import { setMaxListeners } from "node:events";
import { stackOf } from "../base/marks";
import { Clusters } from "../movers/kubernetes/clusters";
import { movers } from "../movers/registry";
import { ConfigError, ofProject, resolveCloud, type Session, Sessions } from "../openstack";
import { leftovers, sweep } from "../operations/sweep";
import type { Context, Place, Refusal } from "../resources/resource";
import { openRepository, type Repository, type RepositoryAccess, ResticRuntime } from "../restic";
import { refusedSettings, signalSettings } from "../signals/settings";
import { Signals } from "../signals/signals";

/** The world of one process: its configuration, its sessions and its repositories, shared by all resources. */
export class World {
  private readonly sessions = new Sessions();
  private readonly places = new Map<string, Session>();
  private readonly runtime = new ResticRuntime();
  private readonly clusters = new Clusters();
  private readonly repositories = new Map<string, Repository>();
  private readonly sweeps = new Map<string, Promise<unknown>>();
  private readonly warned = new Set<string>();
  /** What others are told of this run. */
  readonly signals: Signals;
  /** What of the configuration cannot be. */
  readonly refusals: readonly Refusal[];
  /** Ends everything that runs, when nobody is left who wants it. */
  readonly abort = new AbortController();

  /** `config` holds Pulumi configuration by its full keys, such as `openstack:authUrl`. */
  constructor(
    private readonly config: Readonly<Record<string, string>>,
    private readonly print: (line: string) => void,
    private readonly environment: NodeJS.ProcessEnv = process.env,
  ) {
    // Every operation of the run listens to it.
    setMaxListeners(0, this.abort.signal);
    const settings = signalSettings(config);
    this.refusals = refusedSettings(settings);
    this.signals = new Signals(this.refusals.length === 0 ? settings : {}, () => clock(environment));
  }

  /** The instant that everything is judged by; `OSBACKUP_NOW` replaces the clock. */
  get now(): Date {
    return clock(this.environment);
  }

  /** The context of one call; `name` is what people call the resource. */
  context(name: string): Context {
    return {
      now: this.now,
      log: line => this.print(`[${name}] ${line}`),
      warn: line => this.warnOnce(`warning: [${name}] ${line}`),
      signal: this.abort.signal,
      session: place => this.session(place),
      repository: access => this.repository(access),
      mover: ({ mover = "local", moverOptions }) => movers[mover](moverOptions, this.clusters),
    };
  }

  /** What is found before an operation is found by the operation too. */
  private warnOnce(line: string): void {
    if (this.warned.has(line)) return;
    this.warned.add(line);
    this.print(line);
  }

  session(place: Place): Session {
    const key = JSON.stringify([place.cloud, place.region, place.projectId]);
    let session = this.places.get(key);
    if (!session) {
      const options = {
        config: { ...this.config },
        ...(place.cloud === undefined ? {} : { cloud: place.cloud }),
        ...(place.region === undefined ? {} : { region: place.region }),
      };
      const login = resolveCloud(options, this.environment);
      const { projectId } = place;
      session = this.sessions.open(projectId === undefined ? login : ofProject(login, projectId));
      this.places.set(key, session);
    }
    return session;
  }

  repository(access: RepositoryAccess): Repository {
    const key = JSON.stringify(access);
    let repository = this.repositories.get(key);
    if (!repository) {
      const lockWaitSeconds = lockWait(this.environment);
      repository = openRepository(access, { log: this.print, runtime: this.runtime, lockWaitSeconds });
      this.repositories.set(key, repository);
    }
    return repository;
  }

  /**
   * Once per run, before anything is made: removes what a dead run of this stack left and nobody will adopt. What does
   * not go at once is left to a later run.
   */
  swept(owner: string, place: Place): Promise<unknown> {
    const stack = stackOf(owner);
    const key = JSON.stringify([stack, place.cloud, place.region, place.projectId]);
    let swept = this.sweeps.get(key);
    if (!swept) {
      const session = this.session(place);
      swept = leftovers(session, stack, { now: this.now }).then(found =>
        sweep(session, found, {
          log: this.print,
          signal: this.abort.signal,
          eachSeconds: 5,
          totalSeconds: 10,
        }),
      );
      this.sweeps.set(key, swept);
    }
    return swept;
  }
}

/** How long restic waits for locks of others: what `OSBACKUP_LOCK_WAIT_SECONDS` says, else its own default. */
function lockWait(environment: NodeJS.ProcessEnv): number | undefined {
  const given = environment.OSBACKUP_LOCK_WAIT_SECONDS;
  if (given === undefined || given === "") return undefined;
  const seconds = Number(given);
  if (!(seconds >= 0))
    throw new ConfigError(`OSBACKUP_LOCK_WAIT_SECONDS is '${given}', give a number of seconds`);
  return seconds;
}

/** Now, or what `OSBACKUP_NOW` (ISO 8601) says instead. */
export function clock(environment: NodeJS.ProcessEnv = process.env): Date {
  const given = environment.OSBACKUP_NOW;
  if (given === undefined || given === "") return new Date();
  const now = new Date(given);
  if (Number.isNaN(now.getTime()))
    throw new ConfigError(
      `OSBACKUP_NOW is '${given}', give an ISO 8601 instant such as 2026-11-22T02:30:00Z`,
    );
  return now;
}
