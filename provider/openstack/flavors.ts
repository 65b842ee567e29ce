import { z } from "zod";
import type { CallOptions } from "./cinder";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** What a server has: MiB of memory, and GiB of disk where it boots from an image (0: as much as the image takes). */
export const Flavor = z.looseObject({ id: z.string(), name: z.string(), ram: z.number(), disk: z.number() });
export type Flavor = z.infer<typeof Flavor>;

/** The flavors that the project may use. Source: https://docs.openstack.org/api-ref/compute/#list-flavors-with-details */
export function list(session: Session, { signal }: CallOptions = {}): Promise<Flavor[]> {
  return everyPage(session, {
    service: "compute",
    path: "/flavors/detail",
    key: "flavors",
    item: Flavor,
    doing: "listing flavors",
    signal,
  });
}
