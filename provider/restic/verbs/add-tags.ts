import { checkTag } from "../backup";
import { checkId, type Place, type Stoppable } from "../place";
import { writeSeconds } from "../restic";

/** Adds tags to snapshots, which get new ids. */
export async function addTags(
  place: Place,
  ids: string[],
  tags: string[],
  options: Stoppable = {},
): Promise<void> {
  for (const id of ids) checkId(id);
  for (const tag of tags) checkTag(tag);
  const doing = `tagging ${ids.length} snapshots of ${place.url}`;
  await place.queued("exclusive", doing, options.signal, () =>
    place.restic.call({
      doing,
      arguments: ["tag", ...tags.flatMap(tag => ["--add", tag]), "--", ...ids],
      onLine: () => {},
      signal: options.signal,
      timeoutSeconds: options.timeoutSeconds ?? writeSeconds,
    }),
  );
}
