import * as pulumi from "@pulumi/pulumi";

/** A point as the outputs of any set have it. */
interface ShownPoint {
  snapshotId?: string;
  pointId?: string;
  imageId?: string;
  resticSnapshotId?: string;
  takenAt: string;
  /** what is wrong with it */
  status?: string | undefined;
  good?: boolean;
  keptBecause: string[];
}

/**
 * The points of a set as lines for a stack's output, newest first: when each was taken by the clock of `timeZone` (IANA,
 * default UTC), its id, and why it stays. `points` itself is for programs, and is long.
 */
export function pointLines(points: pulumi.Input<ShownPoint[]>, timeZone = "UTC"): pulumi.Output<string[]> {
  const clock = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "short" });
  return pulumi.output(points).apply(all =>
    all.map(point => {
      const id = point.snapshotId ?? point.imageId ?? point.pointId ?? point.resticSnapshotId?.slice(0, 8);
      const state = point.status ?? (point.good === false ? "not good" : undefined);
      const why = state ?? `kept for ${point.keptBecause.join(", ")}`;
      return `${clock.format(new Date(point.takenAt))} ${timeZone}  ${id}  ${why}`;
    }),
  );
}
