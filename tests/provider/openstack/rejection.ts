import assert from "node:assert/strict";
import { ApiError, ConfigError } from "../../../provider/openstack";

/** The ApiError a promise fails with. */
export async function apiError(promise: Promise<unknown>): Promise<ApiError> {
  const error = await rejection(promise);
  assert.ok(error instanceof ApiError, `not an ApiError: ${error}`);
  return error;
}

/** The message of the ConfigError a promise fails with. */
export async function configMessage(promise: Promise<unknown>): Promise<string> {
  const error = await rejection(promise);
  assert.ok(error instanceof ConfigError, `not a ConfigError: ${error}`);
  return error.message;
}

/** What a promise fails with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    value => assert.fail(`succeeded with ${JSON.stringify(value)}`),
    error => error,
  );
}
