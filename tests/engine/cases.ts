/** One operation on a case's stack. */
export type Operation =
  | {
      do: "up" | "preview" | "refresh" | "destroy";
      /** Which edition of the program; the one before if not given. */
      edition?: number;
      flags?: ("refresh" | "expectNoChanges" | "continueOnError")[];
    }
  /** Changes the provider's cloud behind the engine's back: files by id, `null` removes one. */
  | { do: "cloud"; files: Record<string, object | string | null> }
  /** Sets a configuration value; a secret one if it says so. */
  | { do: "config"; key: string; value?: string; secret?: boolean };

/** A program of `programs/` and what is done with it. */
export interface Case {
  program: string;
  operations: Operation[];
  /** Run one operation at a time and compare the order of all calls that change something. */
  ordered?: boolean;
}

const up = (
  edition?: number,
  ...flags: ("refresh" | "expectNoChanges" | "continueOnError")[]
): Operation => ({
  do: "up",
  ...(edition === undefined ? {} : { edition }),
  flags,
});
const preview = (edition?: number, ...flags: "expectNoChanges"[]): Operation => ({
  do: "preview",
  ...(edition === undefined ? {} : { edition }),
  flags,
});
const refresh: Operation = { do: "refresh" };
const destroy: Operation = { do: "destroy" };
const cloud = (files: Record<string, object | string | null>): Operation => ({ do: "cloud", files });
const config = (key: string, value?: string, secret = false): Operation => ({
  do: "config",
  key,
  ...(value === undefined ? {} : { value }),
  secret,
});

const written: Case[] = [
  { program: "single", operations: [preview(1), up(1), up(2), preview(3), up(3), refresh, destroy, up(1)] },
  { program: "chain", ordered: true, operations: [up(1), up(2), preview(3), up(3), up(4), destroy] },
  { program: "secrets", operations: [preview(1), up(1), up(1), up(2), up(3), refresh, destroy] },
  { program: "components", operations: [preview(1), up(1), up(1), up(2), destroy] },
  { program: "unknowns", operations: [preview(1), up(1), preview(2), up(2), destroy] },
  { program: "replace-create-first", ordered: true, operations: [up(1), preview(2), up(2), up(3), destroy] },
  { program: "replace-delete-first", ordered: true, operations: [up(1), preview(2), up(2), up(2), destroy] },
  { program: "delete-before-replace-option", ordered: true, operations: [up(1), preview(2), up(2)] },
  {
    program: "protect",
    operations: [up(1), preview(2), up(2), preview(3), up(3), destroy, up(4), up(5), destroy],
  },
  { program: "protect-dependents", operations: [up(1), up(2)] },
  { program: "retain-on-delete", operations: [up(1), up(2), up(3), destroy] },
  { program: "ignore-changes", operations: [up(1), preview(2), up(2), up(2)] },
  { program: "replace-on-changes", operations: [up(1), preview(2), up(2)] },
  { program: "aliases", operations: [up(1), preview(2), up(2), up(2), destroy] },
  { program: "depends-on", ordered: true, operations: [up(1), up(2), up(3), destroy] },
  { program: "partial-create", operations: [up(1), preview(2), up(2), up(3)] },
  { program: "partial-update", operations: [up(1), up(2), up(3), up(3)] },
  { program: "init-error-replaces", operations: [up(1), up(2), up(2)] },
  { program: "create-fails", operations: [up(1), up(2), destroy] },
  { program: "update-fails", operations: [up(1), up(2), up(3)] },
  { program: "delete-fails", operations: [up(1), up(2), cloud({ deletable: "" }), up(2)] },
  { program: "check-fails", operations: [preview(1), up(1), up(2)] },
  { program: "diff-fails", operations: [up(1), preview(2), up(2), up(3)] },
  { program: "read-fails", operations: [up(1), refresh, up(1, "refresh"), up(2)] },
  {
    program: "continue-on-error",
    operations: [up(1, "continueOnError"), up(2), up(3, "continueOnError"), cloud({ deletable: "" }), up(3)],
  },
  {
    program: "refresh-drift",
    operations: [
      up(1),
      cloud({ "a-1.json": { content: "drifted" }, "c-1.json": { content: "drifted too" } }),
      refresh,
      preview(1),
      up(1),
      cloud({ "b-1.json": { content: "drifted again" } }),
      up(1, "refresh"),
      destroy,
    ],
  },
  {
    program: "refresh-gone",
    operations: [
      up(1),
      cloud({ "a-1.json": null }),
      refresh,
      up(1),
      cloud({ "b-1.json": null }),
      up(1, "refresh"),
      destroy,
    ],
  },
  { program: "custom-timeouts", operations: [up(1), up(2)] },
  { program: "plain-provider", operations: [up(1), up(1), preview(2), up(2), refresh, destroy] },
  { program: "stack-outputs", operations: [preview(1), up(1), up(1), up(2), destroy] },
  { program: "program-fails", operations: [up(1), preview(2), up(2), up(3)] },
  { program: "logs-error", operations: [up(1), up(2), up(3)] },
  { program: "duplicate", operations: [up(1), up(2), up(1)] },
  {
    program: "expect-no-changes",
    operations: [
      preview(1, "expectNoChanges"),
      up(1),
      up(1, "expectNoChanges"),
      preview(1, "expectNoChanges"),
      preview(2, "expectNoChanges"),
      up(2, "expectNoChanges"),
    ],
  },
  {
    program: "configuration",
    operations: [
      up(1),
      config("content", "words"),
      up(1),
      config("password", "open sesame", true),
      config("map", '{"a":[1,2]}'),
      up(1),
      config("greeting", "hello"),
      config("other:name", "world", true),
      preview(1),
      up(1),
      up(3),
      config("greeting"),
      destroy,
    ],
  },
  { program: "values", operations: [preview(1), up(1), up(1), up(2), refresh, destroy] },
  {
    program: "replacement-cut-short",
    ordered: true,
    operations: [up(1), up(2), preview(3), up(3), up(4), up(5)],
  },
  {
    program: "replaced-not-deleted",
    ordered: true,
    operations: [up(1), up(2), preview(2), up(2), cloud({ deletable: "" }), up(2), destroy],
  },
  { program: "serialised", operations: [preview(1), up(1), up(1), up(2), destroy] },
  { program: "empty", operations: [preview(1), up(1), up(2), refresh, destroy, destroy] },
];

/** Everything in which the embedded engine is held to the real one. */
export const cases = written.map(whole);

/** The case with what every stack sees in its life: a preview, an up again, a refresh and its end, where it lacks them. */
function whole({ operations, ...entry }: Case): Case {
  const has = (kind: Operation["do"]) => operations.some(operation => operation.do === kind);
  const isAgain = operations.some((operation, index) => {
    const before = operations[index - 1];
    return operation.do === "up" && before?.do === "up" && operation.edition === before.edition;
  });
  let end = operations.length;
  while (operations[end - 1]?.do === "destroy") end--;
  return {
    ...entry,
    operations: [
      ...operations.slice(0, end),
      ...(has("preview") ? [] : [preview()]),
      ...(isAgain ? [] : [up()]),
      ...(has("refresh") ? [] : [refresh]),
      ...(end < operations.length ? operations.slice(end) : [destroy]),
    ],
  };
}
