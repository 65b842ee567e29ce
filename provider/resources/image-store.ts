import { createHash } from "node:crypto";
import { runKey } from "../base/marks";
import {
  adoptImages,
  countForeignImages,
  handOverImages,
  type ImagePoint,
  type ImageSet,
  imagePoints,
  isUploading,
  removeImagePoint,
  takeImage,
} from "../operations/image-set";
import { describePoint } from "../operations/words";
import { nextDue, setNameOf } from "./inputs";
import { markOf, nameOf, runOf } from "./point-set";
import type { PointStore, Taken } from "./point-store";
import type { Context } from "./resource";
import type { Inputs, Outputs } from "./server-backup-schema";
import { labelOf, missingServer } from "./servers";
import { timedStore } from "./timed-store";

/** What the outputs tell of a set whatever points it has. */
type Own = Pick<Outputs, "nextDue">;

/** Nova names the snapshots of volumes "snapshot for " and the image, which Cinder takes up to 255 characters of. */
const longestName = 255 - "snapshot for -12345678".length;

const { removal, ...timed } = timedStore({ setOf, points: imagePoints, remove: removeImagePoint });

/** Recovery points that are images of one server. */
export const imageStore: PointStore<Inputs, Outputs, ImagePoint, Own> = {
  noun: "image",
  verbs: ["removes", "removed"],
  done: "the image was taken",
  idKey: "imageId",

  ...timed,
  take,

  coming: () => ({ name: "", status: "active", sizeBytes: 0, snapshotIds: [], consistency: "" }),
  missing: async (given, context) => (await missingServer(given, context))[0]?.reason,
  announce: given => `will take the image of ${runOf(given)} of ${labelOf(given)}`,
  describe: point => ({ name: point.name, ...(point.good ? {} : { status: point.ailment ?? point.status }) }),
  wasGood: ({ status }) => status === undefined,
  current: point => ({
    imageId: point?.id ?? "",
    takenAt: point?.takenAt ?? "",
    sizeBytes: point?.sizeBytes ?? 0,
    snapshotIds: point?.snapshotIds ?? [],
    consistency: point?.consistency ?? "",
  }),
  own: given => ({ nextDue: nextDue(given) ?? "" }),

  isBegun: (points, given) => points.some(point => isUploading(point) && runKey(point) === runKey(given)),
  ailing: points =>
    points
      .filter(point => !point.good && !isUploading(point))
      .map(point => `image ${point.id} is broken: ${point.ailment ?? `it is '${point.status}'`}`),
};

async function take(
  given: Inputs,
  state: (Inputs & Outputs) | undefined,
  context: Context,
): Promise<Taken<ImagePoint, Own>> {
  const set = setOf(given, context);
  if (state && state.owner !== given.owner) await handOverImages(set, state.owner);
  if (set.adopts) await adoptImages(set);
  else if (!state) await sayForeign(set, given, context);
  const mark = markOf({ ...given, origin: given.serverId }, state, context.now);
  const digest = createHash("sha256")
    .update(`${given.owner} ${runKey(mark)}`)
    .digest("hex")
    .slice(0, 8);
  const taken = imageStore.wants(given)
    ? await takeImage(set, {
        name: `${nameOf(given, context.now, longestName)}-${digest}`,
        metadata: { ...given.metadata, backup_type: typeOf(given) },
        mark,
      })
    : undefined;
  return {
    points: await imagePoints(set),
    words: taken?.made ? `took image ${describePoint(taken.point)} of ${labelOf(given)}` : undefined,
    superseded: taken?.superseded ?? [],
    remove: decisions => removal(set, decisions),
  };
}

const typeOf = (given: Inputs): string => given.backupType ?? setNameOf(given);

/** Images that the nova backup script left are no points of the set, unless that is asked for. */
async function sayForeign(set: ImageSet, given: Inputs, context: Context): Promise<void> {
  const count = await countForeignImages(set, typeOf(given));
  if (count === 0) return;
  const images = `${count} image${count === 1 ? "" : "s"}`;
  context.warn(
    `createBackup made ${images} of ${labelOf(given)} with backup_type '${typeOf(given)}': they stay and are not rotated; adoptImages: true takes them into the set`,
  );
}

function setOf(given: Inputs, context: Context): ImageSet {
  return {
    session: context.session(given),
    owner: given.owner,
    serverId: given.serverId,
    timeoutSeconds: given.timeoutSeconds,
    waitsWhileBusy: given.whileBusy === "wait",
    quiesce: given.quiesce,
    adopts: given.adoptImages ? { backupType: typeOf(given), set: setNameOf(given) } : undefined,
    log: context.log,
    signal: context.signal,
  };
}
