import type { z } from "zod";
import type { Mover, MoverOptions } from "../movers/mover";
import type { MoverName } from "../movers/registry";
import type { Session } from "../openstack";
import type { Repository, RepositoryAccess } from "../restic";

/** Which cloud is meant: one of `clouds.yaml` or the default one, its region, and the project of the login's. */
export interface Place {
  cloud?: string | undefined;
  region?: string | undefined;
  projectId?: string | undefined;
}

/** What a lifecycle may use of the world. The clock is `now`; nothing below reads another one. */
export interface Context {
  /** The instant of this call; `OSBACKUP_NOW` replaces the clock for tests and demos. */
  now: Date;
  /** A line for people; the host puts the resource's name before it. */
  log(line: string): void;
  warn(line: string): void;
  signal?: AbortSignal | undefined;
  session(place: Place): Session;
  repository(access: RepositoryAccess): Repository;
  /** Default the local one. */
  mover(given: { mover?: MoverName | undefined; moverOptions?: MoverOptions | undefined }): Mover;
}

/** Why an input is refused: shown under the property's own name. */
export interface Refusal {
  property: string;
  reason: string;
}

/** What `create` and `read` return. */
export interface Fresh<Outputs> {
  id: string;
  outputs: Outputs;
}

/**
 * One resource type: two schemas and a lifecycle. `check` and `diff` are derived from the schemas for all types
 * (check.ts, diff.ts); what only this type knows is in the optional parts.
 */
export interface ResourceType<I extends z.ZodObject = z.ZodObject, O extends z.ZodObject = z.ZodObject> {
  /** The type's name in tokens and docs. */
  name: string;
  description: string;
  inputs: I;
  outputs: O;
  /** Rules across inputs, and of those that speak of now. Values that preview does not know yet are absent. */
  rules?(inputs: Partial<z.output<I>>, now: Date): Refusal[];
  /** Adds what follows from the clock, the one place where time enters. `olds` is the resource's state. */
  settle?(inputs: z.output<I>, olds: Partial<State<I, O>> | undefined, context: Context): z.output<I>;
  /**
   * Asks the world, before anything is made, whether these inputs can work, once all `preflightKeys` are known. Called
   * for a new resource only.
   */
  preflight?(inputs: z.output<I>, context: Context): Promise<Refusal[]>;
  preflightKeys?: readonly (keyof z.output<I> & string)[];
  /** Inputs that come from another resource: unknown in preview, they change only if the slot does. */
  followSlot?: readonly (keyof z.output<I> & string)[];
  /**
   * All inputs that come from other resources of the set, given by the SDK and not by people. Where one of those failed
   * in this run they are absent: check takes what the state has, and the engine skips the resource.
   */
  follows?: readonly (keyof z.output<I> & string)[];
  /** Why the world no longer is what the state says; empty when it is. Reads only shared listings. */
  drift?(state: State<I, O>, inputs: z.output<I>, context: Context): Promise<string[]>;
  /** What the coming create or update will take and remove, with reasons: the preview's words. */
  plan?(state: State<I, O> | undefined, inputs: z.output<I>, context: Context): Promise<string[]>;
  /** What goes with the resource, or stays, when it is deleted: said in the preview of its replacement. */
  leaving?(state: State<I, O>, context: Context): Promise<string>;
  create(inputs: z.output<I>, context: Context): Promise<Fresh<z.output<O>>>;
  /** Undefined means gone. Anything but a 404 throws: a cloud that cannot be asked keeps the state. */
  read(id: string, state: State<I, O>, context: Context): Promise<Fresh<z.output<O>> | undefined>;
  update(id: string, state: State<I, O>, inputs: z.output<I>, context: Context): Promise<z.output<O>>;
  delete(id: string, state: State<I, O>, context: Context): Promise<void>;
}

/** What the engine keeps of a resource: its inputs and its outputs in one object. */
export type State<I extends z.ZodObject = z.ZodObject, O extends z.ZodObject = z.ZodObject> = z.output<I> &
  z.output<O>;

/** Keeps the types of the two schemas together while a resource is written down. */
export function resourceType<I extends z.ZodObject, O extends z.ZodObject>(
  type: ResourceType<I, O>,
): ResourceType<I, O> {
  return type;
}

/**
 * An operation that made something and could not finish: the engine stores the resource with these outputs, and the
 * next `up` calls `update` even with unchanged inputs.
 */
export class PartialFailure extends Error {
  constructor(
    message: string,
    readonly fresh: Fresh<Record<string, unknown>>,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = "PartialFailure";
  }
}

/** What an input may say about itself beyond its type; read by check, diff, the SDK and the docs. */
export interface InputMeta {
  /** A change replaces the resource. */
  replaceOnChanges?: boolean;
  /** Never shown or stored in plain text. */
  secret?: boolean;
  /** A URL, which is secret where it holds a password. */
  address?: boolean;
  /** Added by `settle`; users do not give it. */
  computed?: boolean;
  /** Decides the slot: nothing is settled while it is unknown. */
  decidesSlot?: boolean;
}

/** The metadata of one input, also where the schema that carries it is wrapped as optional or with a default. */
export function metaOf(field: unknown): InputMeta {
  const schema = field as { meta?: () => unknown; def?: { innerType?: unknown } } | undefined;
  if (!schema) return {};
  return (schema.meta?.() as InputMeta | undefined) ?? metaOf(schema.def?.innerType);
}

/** Whether the input at `path` below `field` is or holds a secret, by its own metadata or that of what holds it. */
export function isSecretAt(field: unknown, path: readonly PropertyKey[]): boolean {
  if (metaOf(field).secret) return true;
  const [key, ...rest] = path;
  const shape = shapeOf(field);
  if (key === undefined) return Object.values(shape).some(inner => isSecretAt(inner, []));
  return isSecretAt(shape[key], rest);
}

/** The properties of an object's schema, also where it is wrapped as optional or with a default. */
export function shapeOf(field: unknown): Record<PropertyKey, unknown> {
  const schema = field as { shape?: Record<PropertyKey, unknown>; def?: { innerType?: unknown } } | undefined;
  return schema?.shape ?? (schema?.def?.innerType ? shapeOf(schema.def.innerType) : {});
}
