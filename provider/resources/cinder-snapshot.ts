import { inventoryOf } from "../operations/inventory";
import { inputs, outputs } from "./cinder-snapshot-schema";
import { defaultRetention, noTags, settleSlot, timingRules } from "./inputs";
import { leavingOf, pointSet } from "./point-set";
import { resourceType } from "./resource";
import { snapshotStore } from "./snapshot-store";

/** The set of Cinder snapshots of one volume under one schedule and retention; the newest is current. */
export const cinderSnapshot = resourceType({
  name: "CinderSnapshot",
  description:
    "The set of Cinder snapshots of one volume under one schedule and retention; the newest is current.",
  inputs,
  outputs,
  rules: given => [...timingRules(given), ...noTags(given)],
  settle: (given, olds, context) => ({
    ...given,
    slot: settleSlot(given, olds, context.now),
    retention: given.retention ?? defaultRetention(given),
  }),
  preflightKeys: ["volumeId", "cloud", "region", "projectId"],
  async preflight(given, context) {
    const session = context.session(given);
    if (await inventoryOf(session).volume(given.volumeId)) return [];
    return [
      {
        property: "volumeId",
        reason: `volume ${given.volumeId} does not exist in project ${await session.projectId()}, look it up with \`openstack volume list\``,
      },
    ];
  },
  leaving: leavingOf(snapshotStore, ({ volumeId }) => `volume ${volumeId}`),
  ...pointSet(snapshotStore),
});
