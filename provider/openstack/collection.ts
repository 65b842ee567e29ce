import { z } from "zod";
import { type CallOptions, cinder, idPart, version } from "./cinder";
import { isBadRequest, isNotFound } from "./errors";
import { compareVersions } from "./microversion";
import { everyPage } from "./paging";
import type { Session } from "./session";

/** What every object of a collection has. */
interface Item {
  id: string;
  status: string;
  metadata: Record<string, string>;
}

/** Which objects a listing is for. */
export interface Filter {
  status?: string;
  /** Only objects with all of these. */
  metadata?: Record<string, string>;
}

/** Reading, removing and marking, which Cinder offers alike for snapshots and for volumes. */
export function collection<T extends Item>(name: "snapshot" | "volume", item: z.ZodType<T>) {
  const path = (id: string) => `/${name}s/${idPart(name, id)}`;
  const one = z.looseObject({ [name]: item });
  const page = z.looseObject({ [`${name}s`]: z.array(item) });

  /** One of them. Throws ApiError; isNotFound says that it is gone. */
  async function get(session: Session, id: string, { signal }: CallOptions = {}): Promise<T> {
    const { body } = await cinder(session, {
      method: "GET",
      path: path(id),
      schema: one,
      doing: `reading ${name} ${id}`,
      signal,
    });
    return body[name] as T;
  }

  /** All of the project that match, newest first. What Cinder does not filter, or its operator forbids, is filtered here. */
  async function list(session: Session, filter: Filter = {}, { signal }: CallOptions = {}): Promise<T[]> {
    const microversion = await version(session);
    const ask = (query: Record<string, string | undefined>) =>
      everyPage(session, {
        service: "block-storage",
        path: `/${name}s/detail`,
        query,
        microversion,
        key: `${name}s`,
        item,
        doing: `listing ${name}s`,
        signal,
      });
    // Below 3.22 Cinder silently ignores the filter of snapshots.
    const metadata = compareVersions(microversion, "3.22") >= 0 ? metadataFilter(filter.metadata) : undefined;
    const found = await ask({ status: filter.status, metadata }).catch(error => {
      // resource_filters.json says which filters there are.
      if (isBadRequest(error) && (filter.status ?? metadata) !== undefined) return ask({});
      throw error;
    });
    return found.filter(
      object =>
        (filter.status === undefined || object.status === filter.status) &&
        Object.entries(filter.metadata ?? {}).every(([key, value]) => object.metadata[key] === value),
    );
  }

  /** The newest `count` of the project, in one call. */
  async function newest(session: Session, count: number, { signal }: CallOptions = {}): Promise<T[]> {
    const { body } = await cinder(session, {
      method: "GET",
      path: `/${name}s/detail`,
      query: { limit: count },
      schema: page,
      doing: `listing the newest ${name}s`,
      signal,
    });
    return body[`${name}s`] as T[];
  }

  /**
   * Asks for the deletion, which Cinder carries out later or silently gives up: only a 404 of `get` means gone.
   * One that is already being deleted is fine; one that is gone throws the 404.
   */
  async function remove(session: Session, id: string, { signal }: CallOptions = {}): Promise<void> {
    try {
      await cinder(session, { method: "DELETE", path: path(id), doing: `deleting ${name} ${id}`, signal });
    } catch (error) {
      if (!isBadRequest(error) || !(await isBeingDeleted(session, id, { signal }))) throw error;
    }
  }

  /** Cinder refuses a second delete with 400, also one sent again because an answer was lost. */
  async function isBeingDeleted(session: Session, id: string, options: CallOptions): Promise<boolean> {
    try {
      return (await get(session, id, options)).status === "deleting";
    } catch (error) {
      if (isNotFound(error)) return true;
      throw error;
    }
  }

  /** Adds metadata or changes it, leaving other keys as they are. Returns all of it. */
  async function setMetadata(
    session: Session,
    id: string,
    metadata: Record<string, string>,
    { signal }: CallOptions = {},
  ): Promise<Record<string, string>> {
    const { body } = await cinder(session, {
      method: "POST",
      path: `${path(id)}/metadata`,
      body: { metadata },
      schema: z.looseObject({ metadata: z.record(z.string(), z.string()) }),
      doing: `setting metadata of ${name} ${id}`,
      isRepeatable: true,
      signal,
    });
    return body.metadata;
  }

  return { get, list, newest, remove, setMetadata };
}

/** Cinder's filter for metadata, a Python literal; undefined where the values would break out of it. */
function metadataFilter(metadata: Record<string, string> = {}): string | undefined {
  const entries = Object.entries(metadata);
  if (entries.length === 0 || entries.some(pair => pair.some(part => !/^[\w\-:. /=+@]*$/.test(part))))
    return undefined;
  return `{${entries.map(([key, value]) => `'${key}': '${value}'`).join(", ")}}`;
}
