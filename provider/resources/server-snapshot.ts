import { inventoryOf } from "../operations/inventory";
import { noVolumes } from "../operations/server-set";
import { namedPoints } from "../operations/words";
import { defaultRetention, noTags, settleSlot, timingRules } from "./inputs";
import { pointSet } from "./point-set";
import { resourceType } from "./resource";
import { inputs, outputs } from "./server-snapshot-schema";
import { serverStore } from "./server-store";

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
  preflightKeys: ["serverId", "cloud", "region"],
  async preflight(given, context) {
    const session = context.session(given);
    const inventory = inventoryOf(session);
    // Cinder knows of the server by its volumes; only where it has none does it matter whether Nova has one
    if ((await inventory.volumesOf(given.serverId)).length > 0) return [];
    const reason = (await inventory.server(given.serverId))
      ? noVolumes(given.serverId).message
      : `server ${given.serverId} does not exist in project ${await session.projectId()}, look it up with \`openstack server list\``;
    return [{ property: "serverId", reason }];
  },
  async leaving(state, context) {
    const one = `recovery point of server ${state.serverName ?? state.serverId}`;
    const named = namedPoints(await serverStore.present(state, context), one, one.replace("point", "points"));
    return `will ${state.deletionPolicy === "retain" ? "leave" : "remove"} ${named}`;
  },
  ...pointSet(serverStore),
});
