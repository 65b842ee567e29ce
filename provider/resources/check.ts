import type { z } from "zod";
import { propertyPath } from "../base/property-path";
import { ConfigError, isUnauthorized, isUnreachable } from "../openstack";
import { nearest } from "../operations/nearest";
import {
  type Context,
  isSecretAt,
  metaOf,
  type Refusal,
  type ResourceType,
  type State,
  shapeOf,
} from "./resource";
import { hasUnknown } from "./unknown";

/** What check says: the inputs with their defaults and their slot, or why they are refused. */
export interface Checked {
  inputs: Record<string, unknown>;
  refusals: Refusal[];
}

/**
 * Checks the inputs of one resource, for every type alike: each property against its schema under its own path,
 * unknown values left alone, then the rules across properties, then the clock, then what the cloud and the
 * repository can be asked before anything is made.
 */
export async function check(
  type: ResourceType,
  olds: Record<string, unknown> | undefined,
  news: Record<string, unknown>,
  context: Context,
): Promise<Checked> {
  const refusals: Refusal[] = [];
  const inputs: Record<string, unknown> = {};
  const shape = type.inputs.shape as Record<string, z.ZodType>;
  const failedFirst = lacksWhatItFollows(type, news);
  for (const [property, field] of Object.entries(shape)) {
    if (failedFirst && type.follows?.includes(property)) {
      if (olds?.[property] !== undefined) inputs[property] = olds[property];
      continue;
    }
    const value = withoutNulls(news[property]);
    if (hasUnknown(value)) {
      inputs[property] = value;
      continue;
    }
    const parsed = field.safeParse(value);
    if (parsed.success) {
      if (parsed.data !== undefined) inputs[property] = parsed.data;
    } else refusals.push(...parsed.error.issues.map(issue => refusalOf(property, field, issue, value)));
  }
  for (const property of Object.keys(news)) {
    if (property in shape || property.startsWith("__")) continue;
    refusals.push({
      property,
      reason: `${type.name} has no property '${property}'${nearest(property, Object.keys(shape))}`,
    });
  }
  if (refusals.length === 0) refusals.push(...(type.rules?.(known(inputs), context.now) ?? []));
  if (refusals.length > 0) return { inputs: news, refusals };

  const settled =
    type.settle && !hasUnknownTiming(shape, inputs) ? type.settle(inputs, olds, context) : inputs;
  const complete = withoutAbsent(settled);
  if (isNew(olds) && !hasUnknown(preflightInputs(type, complete)))
    refusals.push(...(await preflight(type, complete, context)));
  return { inputs: complete, refusals };
}

/**
 * Whether a resource that this one follows gave nothing, because it failed in this run. Pulumi checks its dependents all
 * the same before it skips them, and a failed check would stop every other set.
 */
export function lacksWhatItFollows(
  type: Pick<ResourceType, "inputs" | "follows">,
  news: Record<string, unknown>,
): boolean {
  const shape = type.inputs.shape as Record<string, z.ZodType>;
  return (type.follows ?? []).some(key => {
    const value = withoutNulls(news[key]);
    if (hasUnknown(value)) return false;
    const { error } = shape[key]?.safeParse(value) ?? {};
    return error?.issues.some(({ path }) => valueAt(value, path) === undefined) ?? false;
  });
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce((held, key) => (held as Record<PropertyKey, unknown> | undefined)?.[key], value);
}

/** Pulumi spells an absent part of a secret as null. */
function withoutNulls(value: unknown): unknown {
  if (value === null) return undefined;
  if (typeof value !== "object" || Array.isArray(value)) return value;
  const present = Object.entries(value).filter(([, part]) => part !== null);
  return Object.fromEntries(present.map(([key, part]) => [key, withoutNulls(part)]));
}

/** The schedule decides the slot; while it is unknown there is none to settle. */
function hasUnknownTiming(shape: Record<string, unknown>, inputs: Record<string, unknown>): boolean {
  return Object.keys(shape).some(key => metaOf(shape[key]).decidesSlot && hasUnknown(inputs[key]));
}

function preflightInputs(type: ResourceType, inputs: Record<string, unknown>): unknown[] {
  return (type.preflightKeys ?? []).map(key => inputs[key]);
}

/** A failed check stops the whole run: of what exists, what the world refuses is a failed update, which stops no other. */
function isNew(olds: Record<string, unknown> | undefined): boolean {
  return !olds || Object.keys(olds).length === 0;
}

async function preflight(
  type: ResourceType,
  inputs: Record<string, unknown>,
  context: Context,
): Promise<Refusal[]> {
  try {
    return (await type.preflight?.(inputs, context)) ?? [];
  } catch (error) {
    if (isUnreachable(error)) {
      context.warn(
        `the cloud cannot be asked now, so nothing was checked against it: ${(error as Error).message}`,
      );
      return [];
    }
    if (error instanceof ConfigError || isUnauthorized(error))
      return [{ property: "cloud", reason: (error as Error).message }];
    throw error;
  }
}

function refusalOf(property: string, field: z.ZodType, issue: z.core.$ZodIssue, value: unknown): Refusal {
  const secret = isSecretAt(field, issue.path);
  const path = propertyPath([property, ...issue.path]);
  let at: unknown = value;
  for (const step of issue.path) at = (at as Record<PropertyKey, unknown> | undefined)?.[step];
  const shown = secret || at === undefined || typeof at === "object" ? "" : ` (is ${JSON.stringify(at)})`;
  if (issue.code === "unrecognized_keys")
    return {
      property: path,
      reason: `has no property ${issue.keys.map(key => `'${key}'${nearest(key, keysAt(field, issue.path))}`).join(", ")}`,
    };
  if (issue.code === "invalid_type" && at === undefined)
    return { property: path, reason: `is required, a ${issue.expected}` };
  return { property: path, reason: `${issue.message}${shown}` };
}

/** The properties that an input has at a path, as far as that can be told. */
const keysAt = (field: z.ZodType, path: readonly PropertyKey[]): string[] =>
  Object.keys(shapeOf(path.reduce<unknown>((at, step) => shapeOf(at)[step], field)));

function known(inputs: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(inputs).filter(([, value]) => !hasUnknown(value)));
}

function withoutAbsent(inputs: Partial<State>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(inputs).filter(([, value]) => value !== undefined));
}
