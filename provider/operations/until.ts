/** Points that somebody has agreed to: all, or those whose data is from up to an instant, ISO 8601. */
export type Until = boolean | string;

/** Whether a point is among them. Its slot is enough to name it. */
export const isCovered = (point: { time: Date }, until: Until | undefined): boolean =>
  typeof until === "string" ? point.time.getTime() <= Date.parse(until) : until === true;
