import { z } from "zod";
import type { CallOptions } from "./cinder";
import { everyPage } from "./paging";
import type { Session } from "./session";

const Project = z.looseObject({ id: z.string(), name: z.string(), enabled: z.boolean().default(true) });
export type Project = z.infer<typeof Project>;

/**
 * The projects that the login has a role in and may choose.
 * Source: https://docs.openstack.org/api-ref/identity/v3/#get-available-project-scopes
 */
export async function list(session: Session, { signal }: CallOptions = {}): Promise<Project[]> {
  const found = await everyPage(session, {
    service: "identity",
    path: "/auth/projects",
    key: "projects",
    item: Project,
    doing: "listing the projects of this login",
    signal,
  });
  return found.filter(({ enabled }) => enabled);
}
