import { notOfTheFuture, timingRules } from "./inputs";
import { pointSet } from "./point-set";
import { accessOf, accessRules, moverRefusals, moverRules } from "./repository-access";
import { resourceType } from "./resource";
import { inputs, outputs } from "./restic-backup-schema";
import { resticStore } from "./restic-store";

/** The set of restic snapshots of one source under one retention. */
export const resticBackup = resourceType({
  name: "ResticBackup",
  description: "The set of restic snapshots of one source under one retention.",
  inputs,
  outputs,
  followSlot: ["snapshotId", "takenAt", "temporaryVolume"],
  follows: ["snapshotId", "slot", "trigger", "takenAt", "temporaryVolume", "source"],

  rules: (given, now) => [
    ...timingRules({ timeZone: given.timeZone, retention: given.retention }),
    ...(given.repository ? accessRules(given.repository, "repository.") : []),
    ...moverRules(given),
    ...notOfTheFuture(
      "allowShrink",
      given.allowShrink,
      "give the slot of the shrunk point, or true, which turns the guard off",
      now,
    ),
    ...notOfTheFuture(
      "acknowledgeChange",
      given.acknowledgeChange,
      "give the slot of the point that was looked at",
      now,
    ),
    ...(given.onFailure === "cleanup" && "source" in given && given.source === undefined
      ? [
          {
            property: "source",
            reason: "onFailure 'cleanup' needs the source set, give source.owner and source.volumeId",
          },
        ]
      : []),
  ],

  // What a snapshot's tags say can be changed only by writing it anew, and on an append-only store not at all.
  settle(given, olds) {
    const before = [...(olds?.formerOwners ?? []), ...(olds?.owner === undefined ? [] : [olds.owner])];
    const formerOwners = [...new Set([...(given.formerOwners ?? []), ...before])].filter(
      former => former !== given.owner,
    );
    return formerOwners.length > 0 ? { ...given, formerOwners } : given;
  },

  // The repository itself is asked by ResticRepository; here it is enough that restic can run at all.
  preflightKeys: ["repository", "mover", "moverOptions"],
  async preflight(given, context) {
    try {
      await context.repository(accessOf(given.repository)).version();
      return await moverRefusals(given, context);
    } catch (error) {
      return [{ property: "repository", reason: (error as Error).message }];
    }
  },

  ...pointSet(resticStore),
});
