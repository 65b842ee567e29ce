import { z } from "zod";
import { type CallOptions, idPart } from "./cinder";
import { undefinedIfNotFound } from "./errors";
import type { Session } from "./session";

/**
 * An image as Glance tells it; its own properties stand beside Glance's, as strings.
 * Source: https://docs.openstack.org/api-ref/image/v2/#show-image
 */
export const Image = z.looseObject({
  id: z.string(),
  name: z.string().nullable(),
  /** "queued", "saving", "uploading", "importing", "active", "deactivated", "killed", "deleted", "pending_delete" */
  status: z.string(),
  /** Bytes; null until the upload is over, 0 for the image of a server that boots from a volume. */
  size: z.number().nullish(),
  created_at: z.string(),
});
export type Image = z.infer<typeof Image>;

const Page = z.looseObject({ images: z.array(Image), next: z.string().optional() });

/** The images of the session's project whose properties are these. */
export async function list(
  session: Session,
  properties: Record<string, string>,
  { signal }: CallOptions = {},
): Promise<Image[]> {
  const owner = await session.projectId();
  const found: Image[] = [];
  let query: Record<string, string | number> = { ...properties, owner, limit: 1000 };
  for (;;) {
    const { body } = await session.request({
      service: "image",
      method: "GET",
      path: "/images",
      query,
      schema: Page,
      doing: "listing images",
      signal,
    });
    found.push(...body.images);
    const marker = body.next && new URL(body.next, "http://localhost").searchParams.get("marker");
    if (!marker || marker === query.marker) return found;
    query = { ...query, marker };
  }
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
    .catch(undefinedIfNotFound);
}

/** The properties of an image that are text: the marks among them. */
export const propertiesOf = (image: Image): Record<string, string> =>
  Object.fromEntries(
    Object.entries(image).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );

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
