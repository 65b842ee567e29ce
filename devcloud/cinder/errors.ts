import type { Reply } from "../http";

const envelopes: Record<number, string> = {
  400: "badRequest",
  403: "forbidden",
  404: "itemNotFound",
  409: "conflictingRequest",
  413: "overLimit",
  415: "badMediaType",
  429: "overLimit",
  501: "notImplemented",
  503: "serviceUnavailable",
};

/** A refusal in Cinder's words. */
export class CinderError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const badRequest = (message: string) => new CinderError(400, message);
export const notFound = (message: string) => new CinderError(404, message);
export const overLimit = (message: string) => new CinderError(413, message);
export const policyForbids = (rule: string) =>
  new CinderError(403, `Policy doesn't allow ${rule} to be performed.`);

/** A text that Cinder uses for any 400 it has no better words for. */
export const malformed =
  "The server could not comply with the request since it is either malformed or otherwise incorrect.";

/** The text of every 500. */
export const erred = "The server has either erred or is incapable of performing the requested operation.";

/** The answer to an error in Cinder's envelope. */
export function errorReply(status: number, message: string): Reply {
  const envelope = envelopes[status] ?? "computeFault";
  if (status !== 413) return { status, body: { [envelope]: { code: status, message } } };
  return {
    status,
    body: { [envelope]: { code: status, message, retryAfter: "0" } },
    headers: { "Retry-After": "0" },
  };
}

/** What the routing layer answers to an unknown path, method or project id. */
export function unroutedReply(): Reply {
  return {
    status: 404,
    body: {
      message: "The resource could not be found.<br /><br />\n\n\n",
      code: "404 Not Found",
      title: "Not Found",
    },
  };
}
