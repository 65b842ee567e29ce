import { ConfigError } from "./errors";
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
  const microversion = call.microversion ?? (await version(session));
  return session.request<T>({ ...call, microversion, service: "block-storage" });
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
