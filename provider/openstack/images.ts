import { z } from "zod";
import { type CallOptions, idPart } from "./cinder";
import { undefinedIfNotFound, unlessStillThere } from "./errors";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** What of an image is text: its own properties, marks among them, and some of Glance's. */
const textsOf = (row: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(row).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );

/**
 * An image as Glance tells it; its own properties stand beside Glance's, as strings, and as `metadata` here.
 * Source: https://docs.openstack.org/api-ref/image/v2/#show-image
 */
export const Image = z
  .looseObject({
    id: z.string(),
    name: z.string().nullable(),
    /** "queued", "saving", "uploading", "importing", "active", "deactivated", "killed", "deleted", "pending_delete" */
    status: z.string(),
    /** Bytes; null until the upload is over, 0 for the image of a server that boots from a volume. */
    size: z.number().nullish(),
    created_at: z.string(),
    /** The least a flavor must have: GiB of disk, MiB of memory. */
    min_disk: z.number().default(0),
    min_ram: z.number().default(0),
  })
  .transform(row => ({ ...row, metadata: textsOf(row) }));
export type Image = z.infer<typeof Image>;

/** The images of the session's project whose properties are these. */
export async function list(
  session: Session,
  properties: Record<string, string>,
  { signal }: CallOptions = {},
): Promise<Image[]> {
  return everyPage(session, {
    service: "image",
    path: "/images",
    query: { ...properties, owner: await session.projectId() },
    key: "images",
    item: Image,
    doing: "listing images",
    signal,
  });
}

/** One of them; undefined when it is gone. */
export async function get(
  session: Session,
  id: string,
  { signal }: CallOptions = {},
): Promise<Image | undefined> {
  const answer = await session
    .request({
      service: "image",
      method: "GET",
      path: `/images/${idPart("image", id)}`,
      schema: Image,
      doing: `reading image ${id}`,
      signal,
    })
    .catch(undefinedIfNotFound);
  return answer?.body;
}

/** Removes an image; one that is gone is fine. */
export async function remove(session: Session, id: string, { signal }: CallOptions = {}): Promise<void> {
  const doing = `deleting image ${id}`;
  await session
    .request({ service: "image", method: "DELETE", path: `/images/${idPart("image", id)}`, doing, signal })
    .catch(unlessStillThere(() => get(session, id, { signal })));
}

/** Adds properties or changes them, leaving others as they are. */
export async function setProperties(
  session: Session,
  id: string,
  properties: Record<string, string>,
  { signal }: CallOptions = {},
): Promise<Image> {
  const { body } = await session.request({
    service: "image",
    method: "PATCH",
    path: `/images/${idPart("image", id)}`,
    // "add" replaces what is there
    body: Object.entries(properties).map(([key, value]) => ({ op: "add", path: `/${key}`, value })),
    contentType: "application/openstack-images-v2.1-json-patch",
    schema: Image,
    doing: `setting properties of image ${id}`,
    isRepeatable: true,
    signal,
  });
  return body;
}
