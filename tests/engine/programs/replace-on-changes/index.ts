import { by, File } from "../file";

// With a diff of its own the provider says nothing of keys, so the option has no effect.
new File("with-diff", { content: by("one", "two") }, { replaceOnChanges: ["content"] });
new File(
  "plain",
  { content: by("one", "two"), more: 1 },
  { replaceOnChanges: ["content"] },
  "plain-provider",
);
new File("other", { content: by("one", "two") }, { replaceOnChanges: ["more"] }, "plain-provider");
const all = new File("all", { more: by({ a: 1 }, { a: 2 }) }, { replaceOnChanges: ["*"] }, "plain-provider");
new File(
  "user",
  { content: all.id },
  { replaceOnChanges: ["content"], deleteBeforeReplace: true },
  "plain-provider",
);
