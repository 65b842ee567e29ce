import { inventoryOf } from "../operations/inventory";
import { namedPoints } from "../operations/words";
import { imageStore } from "./image-store";
import { noTags, scheduleOf, settleSlot, timingRules } from "./inputs";
import { pointSet } from "./point-set";
import { resourceType } from "./resource";
import { inputs, outputs } from "./server-backup-schema";

/** The set of images of one server under one schedule and retention. */
export const serverBackup = resourceType({
  name: "ServerBackup",
  description:
    "The set of images of one server under one schedule and retention, as Nova makes them; of a server that boots from a " +
    "volume an image stands for the snapshots of all its volumes, made and removed with it.",
  inputs,
  outputs,
  rules: given => [...timingRules(given), ...noTags(given)],
  settle(given, olds, context) {
    const count = scheduleOf(given)?.count;
    // with a count of 0 everything stays
    const retention = given.retention ?? (count === 0 ? undefined : { keepLast: count ?? 7 });
    return { ...given, slot: settleSlot(given, olds, context.now), retention };
  },
  preflightKeys: ["serverId", "cloud", "region"],
  async preflight(given, context) {
    const session = context.session(given);
    if (await inventoryOf(session).server(given.serverId)) return [];
    const reason = `server ${given.serverId} does not exist in project ${await session.projectId()}, look it up with \`openstack server list\``;
    return [{ property: "serverId", reason }];
  },
  async leaving(state, context) {
    const one = `image of server ${state.serverName ?? state.serverId}`;
    const named = namedPoints(await imageStore.present(state, context), one, one.replace("image", "images"));
    return `will ${state.deletionPolicy === "retain" ? "leave" : "remove"} ${named}`;
  },
  ...pointSet(imageStore),
});
