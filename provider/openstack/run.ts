import { randomUUID } from "node:crypto";

/** Sent with every request of this process, so that a cloud's operators find a whole run in their logs. */
export const RUN_REQUEST_ID = `req-${randomUUID()}`;
