/** At most one progress line in this time. */
const progressEveryMs = 30_000;

/** The one file of a block-mode snapshot. */
export const blockFileName = "volume.raw";

/** `/var/lib` inside the volume is `var/lib` for restic, which runs at the volume's root. */
export function relativePath(path: string): string {
  const trimmed = path.replace(/^\/+/, "").replace(/\/+$/, "");
  return trimmed === "" ? "." : trimmed;
}

interface Progress {
  bytesDone: number;
  bytesTotal?: number;
  etaSeconds?: number;
}

/** Says now and then how far a backup is. */
export function progressTo(log: (line: string) => void): (seen: Progress) => void {
  let lastLine = Date.now();
  return seen => {
    if (Date.now() - lastLine < progressEveryMs) return;
    lastLine = Date.now();
    log(progressLine(seen));
  };
}

function progressLine(seen: Progress): string {
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  const total = seen.bytesTotal
    ? `/${gib(seen.bytesTotal)} GiB ${Math.floor((100 * seen.bytesDone) / seen.bytesTotal)}%`
    : " GiB";
  const eta = seen.etaSeconds === undefined ? "" : ` ETA ${Math.ceil(seen.etaSeconds / 60)} min`;
  return `Backup: ${gib(seen.bytesDone)}${total}${eta}`;
}
