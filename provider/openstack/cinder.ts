import { ConfigError, isNotFound } from "./errors";
import { NEWEST_KNOWN } from "./microversion";
import type { Call, Session } from "./session";

/** Ends a call early. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** A call of Cinder at the newest microversion that both sides know. */
export async function cinder<T>(
  session: Session,
  call: Omit<Call<T>, "service">,
): Promise<{ status: number; body: T; requestId?: string }> {
  return session.request<T>({ microversion: await version(session), ...call, service: "block-storage" });
}

/** The newest Cinder microversion that both sides know. */
export async function version(session: Session): Promise<string> {
  return session.microversion("block-storage", NEWEST_KNOWN["block-storage"] ?? "3.0");
}

/** An id as a part of a path. An empty one would turn "delete this" into a request to the collection. */
export function idPart(what: string, id: string): string {
  if (id === "") throw new ConfigError(`no id of a ${what} was given`);
  return encodeURIComponent(id);
}

/** Cinder's filter for metadata, a Python literal; undefined where the values would break out of it. */
export function metadataFilter(metadata: Record<string, string> | undefined): string | undefined {
  const entries = Object.entries(metadata ?? {});
  if (entries.length === 0 || entries.some(pair => pair.some(part => !/^[\w\-:. /=+@]*$/.test(part))))
    return undefined;
  return `{${entries.map(([key, value]) => `'${key}': '${value}'`).join(", ")}}`;
}

/** Whether a thing carries all of the wanted metadata. */
export function hasMetadata(
  thing: { metadata: Record<string, string> },
  wanted: Record<string, string> = {},
): boolean {
  return Object.entries(wanted).every(([key, value]) => thing.metadata[key] === value);
}

/** Whether a thing is on its way out: Cinder refuses a second delete with 400, also one sent again because an answer was lost. */
export async function isBeingDeleted(look: () => Promise<{ status: string }>): Promise<boolean> {
  try {
    return (await look()).status === "deleting";
  } catch (error) {
    if (isNotFound(error)) return true;
    throw error;
  }
}
