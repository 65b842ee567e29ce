import { inventoryOf } from "../operations/inventory";
import { consistencyOf } from "../operations/quiesce";
import { imageStore } from "./image-store";
import { defaultRetention, noTags, settleSlot, timingRules } from "./inputs";
import { leavingOf, pointSet } from "./point-set";
import { resourceType } from "./resource";
import { inputs, outputs } from "./server-backup-schema";
import { labelOf, missingServer } from "./servers";

/** The set of images of one server under one schedule and retention. */
export const serverBackup = resourceType({
  name: "ServerBackup",
  description:
    "The set of images of one server under one schedule and retention, as Nova makes them; of a server that boots from a " +
    "volume an image stands for the snapshots of all its volumes, made and removed with it.",
  inputs,
  outputs,
  rules: given => [...timingRules(given), ...noTags(given)],
  settle: (given, olds, context) => ({
    ...given,
    slot: settleSlot(given, olds, context.now),
    retention: given.retention ?? defaultRetention(given, { keepLast: 7 }),
  }),
  preflightKeys: ["serverId", "cloud", "region", "projectId"],
  async preflight(given, context) {
    const missing = await missingServer(given, context);
    if (missing.length > 0 || given.quiesce !== "require") return missing;
    const session = context.session(given);
    const server = await inventoryOf(session).server(given.serverId);
    if (!server) return missing;
    return consistencyOf({ session }, server, given.quiesce).then(
      () => [],
      (error: Error) => [{ property: "quiesce", reason: error.message }],
    );
  },
  leaving: leavingOf(imageStore, labelOf),
  ...pointSet(imageStore),
});
