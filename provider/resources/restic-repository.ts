import type { z } from "zod";
import { instant } from "../base/marks";
import { newestSlot, parseSchedule } from "../operations/schedule";
import { maskUrl, type Repository, ResticError, weakPassword } from "../restic";
import { accessOf, accessRules, type repositoryAccess } from "./repository-access";
import { type Context, type Refusal, resourceType, type State } from "./resource";
import { type Inputs, inputs, type Outputs, outputs } from "./restic-repository-schema";

const maintenanceKinds = ["check", "prune", "copy"] as const;

/** A repository: initialised, reachable, checked and pruned on a schedule, copied to a second one. Never deletes data. */
export const resticRepository = resourceType({
  name: "ResticRepository",
  description:
    "A restic repository: initialised, reachable, its check and prune on a schedule, optionally copied to a second one.",
  inputs,
  outputs,

  rules(given) {
    const refusals: Refusal[] = "url" in given ? accessRules(given, "") : [];
    for (const kind of maintenanceKinds) {
      const schedule = given[`${kind}Schedule`];
      if (schedule === undefined) continue;
      try {
        parseSchedule(schedule, { timeZone: given.timeZone ?? "UTC" });
      } catch (error) {
        refusals.push({ property: `${kind}Schedule`, reason: (error as Error).message });
      }
    }
    if (given.copySchedule !== undefined && given.copyTo === undefined)
      refusals.push({ property: "copyTo", reason: "copySchedule needs the second repository" });
    if (given.copyTo) refusals.push(...accessRules(given.copyTo, "copyTo."));
    return refusals;
  },

  settle(given, olds, context) {
    const settled: Inputs = { ...given };
    for (const kind of maintenanceKinds) {
      const schedule = given[`${kind}Schedule`];
      if (schedule === undefined) continue;
      const newest = newestSlot(
        parseSchedule(schedule, { timeZone: given.timeZone, seed: given.owner }),
        context.now,
      );
      const old = olds?.[`${kind}Slot`];
      const slot = newest && instant(newest);
      settled[`${kind}Slot`] = old !== undefined && (slot === undefined || slot < old) ? old : slot;
    }
    return settled;
  },

  preflightKeys: ["url", "password", "passwordFile", "passwordCommand", "environment", "caCertFile"],
  async preflight(given, context) {
    try {
      const exists = await repositoryOf(given, context).exists({ signal: context.signal });
      if (exists) return [];
      const weak = given.initialise && given.password !== undefined && weakPassword(given.password);
      if (weak) return [{ property: "password", reason: weak }];
      if (given.initialise) return [];
      return [{ property: "url", reason: "there is no repository, and initialise is false" }];
    } catch (error) {
      if (!(error instanceof ResticError)) throw error;
      if (error.kind === "wrong-password") return [{ property: "password", reason: error.message }];
      if (error.kind === "locked") return [];
      // REST has its user and password in the url, the others take keys from the environment.
      if (error.kind === "access-denied" && !given.url.startsWith("rest:"))
        return [{ property: given.environment ? "environment" : "url", reason: error.message }];
      return [{ property: "url", reason: error.message }];
    }
  },

  async drift(state, given, context) {
    const wrong = wrongAt(given, state, await repositoryOf(given, context).identity(context));
    return wrong ? [`${wrong}; the update will fail`] : [];
  },

  async plan(state, given) {
    return maintenanceKinds
      .filter(kind => isDue(kind, given, state))
      .map(kind => `will ${kind} the repository, due since ${given[`${kind}Slot`]}`);
  },

  async create(given, context) {
    return { id: given.owner, outputs: await converge(given, undefined, context) };
  },

  async read(id, state, context) {
    const repositoryId = await repositoryOf(state, context).identity(context);
    const wrong = wrongAt(state, state, repositoryId);
    // gone from the state it would be made anew by the next run
    if (wrong || repositoryId === undefined) throw new Error(wrong);
    return { id, outputs: { ...state, repositoryId } };
  },

  update: (_id, state, given, context) => converge(given, state, context),

  async delete(_id, _state, context) {
    context.log("the repository and its data stay where they are");
  },
});

async function converge(
  given: Inputs,
  state: State<typeof inputs, typeof outputs> | undefined,
  context: Context,
): Promise<Outputs> {
  const repository = repositoryOf(given, context);
  const { signal } = context;
  const made =
    state === undefined && given.initialise && (await repository.ensureInitialised({ signal })) === "created";
  const repositoryId = await repository.identity({ signal });
  const wrong = wrongAt(given, state, repositoryId);
  if (wrong || repositoryId === undefined) throw new Error(wrong);
  const fresh: Outputs = {
    repositoryId,
    made: made || (state?.made ?? false),
    resticVersion: (await repository.version()).text,
    lastCheck: state?.lastCheck ?? "",
    lastPrune: state?.lastPrune ?? "",
    lastCopy: state?.lastCopy ?? "",
  };
  // A repository made just now has nothing to check, prune or copy: its slots count from the next one.
  for (const kind of maintenanceKinds) {
    const slot = given[`${kind}Slot`];
    if (slot === undefined || !isDue(kind, given, state)) continue;
    fresh[lastOf[kind]] = slot;
    if (made) continue;
    context.log(`${kind}, due since ${slot}`);
    const limits = { signal, timeoutSeconds: given.timeoutSeconds };
    if (kind === "check") await repository.check({ ...limits, readDataSubset: given.readDataSubset });
    if (kind === "prune") await repository.prune(limits);
    if (kind === "copy" && given.copyTo) await copy(given, given.copyTo, context, !state?.lastCopy);
  }
  return fresh;
}

/**
 * What is wrong with the repository that was found, in words. An unmounted disk looks like an empty one: a repository is
 * made by the first create alone, and one that is known must be there again, the same.
 */
function wrongAt(
  given: Inputs,
  state: Partial<Inputs & Outputs> | undefined,
  found: string | undefined,
): string | undefined {
  const where = maskUrl(given.url);
  const known = state?.repositoryId;
  if (found === undefined) {
    if (!state) return `there is no repository at ${where}, and initialise is false`;
    const existed = known ? `repository ${known.slice(0, 8)}` : "the repository";
    return (
      (state.url === given.url
        ? `${existed} is not at ${where} any more`
        : `there is no repository at ${where}`) +
      "; is it mounted? " +
      "Another one is made only for a ResticRepository of another name"
    );
  }
  if (!known || known === found || state?.url !== given.url) return undefined;
  return (
    `at ${where} is another repository, ${found.slice(0, 8)}, not ${known.slice(0, 8)}; is the right one mounted? ` +
    "To go on with this one, give the ResticRepository another name"
  );
}

const lastOf = { check: "lastCheck", prune: "lastPrune", copy: "lastCopy" } as const;

function isDue(
  kind: (typeof maintenanceKinds)[number],
  given: Inputs,
  state: Partial<Inputs & Outputs> | undefined,
): boolean {
  const slot = given[`${kind}Slot`];
  return slot !== undefined && slot !== state?.[lastOf[kind]];
}

async function copy(
  given: Inputs,
  to: z.output<typeof repositoryAccess>,
  context: Context,
  isFirst: boolean,
): Promise<void> {
  const from = accessOf(accessPart(given));
  const second = context.repository(accessOf(to));
  const { signal } = context;
  if (isFirst) await second.ensureInitialised({ signal, chunkerFrom: from });
  else if (!(await second.exists({ signal })))
    throw new Error(`the second repository is not at ${maskUrl(to.url)} any more; is it mounted?`);
  const ids = (await context.repository(from).snapshots({ signal })).map(snapshot => snapshot.id);
  if (ids.length > 0) await second.copyFrom(from, ids, { signal, timeoutSeconds: given.timeoutSeconds });
}

function repositoryOf(given: Inputs, context: Context): Repository {
  return context.repository(accessOf(accessPart(given)));
}

function accessPart(given: Inputs): z.output<typeof repositoryAccess> {
  const { url, password, passwordFile, passwordCommand, environment, caCertFile } = given;
  return { url, password, passwordFile, passwordCommand, environment, caCertFile };
}
