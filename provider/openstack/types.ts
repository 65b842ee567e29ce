import { z } from "zod";
import { type CallOptions, version } from "./cinder";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** A volume type. */
export const VolumeType = z.looseObject({
  id: z.string(),
  name: z.string(),
  description: z.string().nullish(),
  is_public: z.boolean().optional(),
  /** Only what the operator lets users see. */
  extra_specs: z.record(z.string(), z.string()).optional(),
});
export type VolumeType = z.infer<typeof VolumeType>;

/** The volume types the project may use. */
export async function list(session: Session, { signal }: CallOptions = {}): Promise<VolumeType[]> {
  return everyPage(session, {
    service: "block-storage",
    path: "/types",
    microversion: await version(session),
    key: "volume_types",
    item: VolumeType,
    doing: "listing volume types",
    signal,
  });
}
