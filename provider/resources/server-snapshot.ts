import { inventoryOf } from "../operations/inventory";
import { noVolumes } from "../operations/server-set";
import { defaultRetention, noTags, settleSlot, timingRules } from "./inputs";
import { leavingOf, pointSet } from "./point-set";
import { resourceType } from "./resource";
import { inputs, outputs } from "./server-snapshot-schema";
import { serverStore } from "./server-store";
import { labelOf, missingServer } from "./servers";

/** The set of points of one server under one schedule and retention, each the snapshots of all of its volumes. */
export const serverSnapshot = resourceType({
  name: "ServerSnapshot",
  description:
    "The set of recovery points of one server under one schedule and retention; a point is the Cinder snapshots of all " +
    "volumes that the server has at that moment, kept and removed as one.",
  inputs,
  outputs,
  rules: given => [...timingRules(given), ...noTags(given)],
  settle: (given, olds, context) => ({
    ...given,
    slot: settleSlot(given, olds, context.now),
    retention: given.retention ?? defaultRetention(given),
  }),
  preflightKeys: ["serverId", "cloud", "region", "projectId"],
  async preflight(given, context) {
    // Cinder knows of the server by its volumes; only where it has none does it matter whether Nova has one
    if ((await inventoryOf(context.session(given)).volumesOf(given.serverId)).length > 0) return [];
    const missing = await missingServer(given, context);
    if (missing.length > 0) return missing;
    return [{ property: "serverId", reason: noVolumes(given.serverId).message }];
  },
  leaving: leavingOf(serverStore, labelOf),
  ...pointSet(serverStore),
});
