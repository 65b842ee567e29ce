import { z } from "zod";
import { type CallOptions, version } from "./cinder";
import { compareVersions } from "./microversion";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** Why an asynchronous operation failed, in Cinder's words for users. */
export const Message = z.looseObject({
  id: z.string(),
  user_message: z.string(),
  event_id: z.string().optional(),
  message_level: z.string().optional(),
  /** Id of the request that failed. */
  request_id: z.string().nullish(),
  resource_type: z.string().nullish(),
  resource_uuid: z.string().nullish(),
  created_at: z.string(),
});
export type Message = z.infer<typeof Message>;

/** User messages about a volume or snapshot, newest first; none where Cinder is older than them (3.3). */
export async function list(
  session: Session,
  resourceId: string,
  { signal }: CallOptions = {},
): Promise<Message[]> {
  const microversion = await version(session);
  if (compareVersions(microversion, "3.3") < 0) return [];
  const messages = await everyPage(session, {
    service: "block-storage",
    path: "/messages",
    // The filter exists since 3.5, the limit too.
    query: compareVersions(microversion, "3.5") >= 0 ? { resource_uuid: resourceId } : { limit: undefined },
    microversion,
    key: "messages",
    item: Message,
    doing: `reading messages about ${resourceId}`,
    signal,
  });
  return messages
    .filter(message => message.resource_uuid === resourceId)
    .sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
}
