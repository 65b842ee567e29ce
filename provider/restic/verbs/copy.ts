import { secondaryEnvironment } from "../access";
import { ResticError } from "../errors";
import { checkId, type Place, type Stoppable } from "../place";
import { wholeSeconds } from "../restic";
import { snapshots } from "./snapshots";

/** Copies snapshots from another repository and proves that each has arrived. */
export async function copyFrom(
  place: Place,
  from: Place,
  ids: string[],
  options: Stoppable = {},
): Promise<{ sourceId: string; id: string }[]> {
  for (const id of ids) checkId(id);
  if (ids.length === 0) return [];
  const source = from.access;
  const doing = `copying ${ids.length} snapshots from ${source.shownUrl} to ${place.url}`;
  return place.queued("backup", doing, options.signal, async () => {
    await place.restic.call({
      doing,
      arguments: [...source.arguments, "copy", "--", ...ids],
      environment: secondaryEnvironment(place.access, source),
      source,
      onLine: () => {},
      signal: options.signal,
      timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
    });
    const { signal } = options;
    const wanted = await snapshots(from, { ids, signal });
    const present = await snapshots(place, { signal });
    const arrived = wanted.flatMap(({ id: sourceId, original, tree }) => {
      const origin = original ?? sourceId;
      const copy = present.find(found => found.tree === tree && (found.original ?? found.id) === origin);
      return copy ? [{ sourceId, id: copy.id }] : [];
    });
    const lacking = ids.filter(id => !arrived.some(pair => pair.sourceId.startsWith(id)));
    if (lacking.length > 0) throw new ResticError("failed", `${doing}: ${lacking.join(", ")} did not arrive`);
    return arrived;
  });
}
