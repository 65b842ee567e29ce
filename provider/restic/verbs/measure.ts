import { parseJson } from "../messages";
import { checkId, type Place, type Stoppable } from "../place";
import { wholeSeconds } from "../restic";

/** The files of a snapshot and their bytes, as its backup counted them. Reads the snapshot's trees. */
export async function measure(
  place: Place,
  id: string,
  options: Stoppable = {},
): Promise<{ filesTotal: number; bytesTotal: number }> {
  checkId(id);
  const doing = `measuring snapshot ${id} of ${place.url}`;
  const measured = { filesTotal: 0, bytesTotal: 0 };
  await place.restic.once({
    doing,
    arguments: ["ls", "--json", "--no-lock", "--", id],
    onLine: line => {
      if (!line.includes('"type":"file"')) return;
      const { type, size } = parseJson(line, doing) as { type?: unknown; size?: unknown };
      if (type !== "file") return;
      measured.filesTotal++;
      measured.bytesTotal += typeof size === "number" ? size : 0;
    },
    signal: options.signal,
    timeoutSeconds: options.timeoutSeconds ?? wholeSeconds,
  });
  return measured;
}
