import { setTimeout as sleep } from "node:timers/promises";
import pRetry from "p-retry";
import { ApiError, isUnreachable } from "./errors";

const LONGEST_RETRY_AFTER_SECONDS = 60;
const UNSENT_CODES = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"];
const LOST_CODES = [
  "ECONNRESET",
  "EPIPE",
  "ECONNABORTED",
  "ETIMEDOUT",
  "ERR_BAD_RESPONSE",
  "ERR_NETWORK",
  ...UNSENT_CODES,
];

/** How a request may be repeated. */
export interface Retrying {
  /** True when doing it twice does no harm: then it is repeated although its outcome is unknown. */
  isRepeatable: boolean;
  maxRetries: number;
  retryDelaySeconds: number;
  signal?: AbortSignal | undefined;
}

/**
 * Runs a request again after a passing trouble: 429 and 503 always (the service has done nothing), a lost connection,
 * 502 and 504 only if it is repeatable. Retry-After is honoured up to a minute. A timeout is repeated once.
 */
export async function retrying<T>(run: () => Promise<T>, how: Retrying): Promise<T> {
  let timeouts = 0;
  const isPassing = (error: unknown): boolean => {
    if (!(error instanceof ApiError)) return false;
    if (error.status === 429 || error.status === 503) return true;
    if (isUnreachable(error) && UNSENT_CODES.includes(error.code ?? "")) return true;
    if (!how.isRepeatable) return false;
    if (error.code === "ETIMEDOUT") return timeouts < 2;
    return (
      error.status === 502 ||
      error.status === 504 ||
      (isUnreachable(error) && LOST_CODES.includes(error.code ?? ""))
    );
  };
  return pRetry(run, {
    retries: how.maxRetries,
    minTimeout: how.retryDelaySeconds * 1000,
    maxTimeout: how.retryDelaySeconds * 16_000,
    factor: 2,
    randomize: true,
    ...(how.signal && { signal: how.signal }),
    shouldRetry: ({ error }) => isPassing(error),
    onFailedAttempt: async ({ error, retriesLeft }) => {
      if (error instanceof ApiError && error.code === "ETIMEDOUT") timeouts++;
      if (retriesLeft === 0 || !isPassing(error) || !(error instanceof ApiError)) return;
      const seconds = Math.min(error.retryAfterSeconds ?? 0, LONGEST_RETRY_AFTER_SECONDS);
      if (seconds === 0) return;
      await sleep(seconds * 1000, undefined, how.signal && { signal: how.signal }).catch(() =>
        how.signal?.throwIfAborted(),
      );
    },
  });
}
