import { z } from "zod";
import { type CallOptions, cinder } from "./cinder";
import type { Session } from "./session";

/** Quotas of the project and how much of them is used; -1 is unlimited. Snapshots count against the gigabytes too. */
export const Limits = z.looseObject({
  maxTotalVolumes: z.number(),
  maxTotalSnapshots: z.number(),
  maxTotalVolumeGigabytes: z.number(),
  totalVolumesUsed: z.number(),
  totalSnapshotsUsed: z.number(),
  totalGigabytesUsed: z.number(),
});
export type Limits = z.infer<typeof Limits>;

/** The project's block storage limits. */
export async function get(session: Session, { signal }: CallOptions = {}): Promise<Limits> {
  const { body } = await cinder(session, {
    method: "GET",
    path: "/limits",
    schema: z.looseObject({ limits: z.looseObject({ absolute: Limits }) }),
    doing: "reading the block storage limits",
    signal,
  });
  return body.limits.absolute;
}
