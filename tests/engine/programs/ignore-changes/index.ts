import * as pulumi from "@pulumi/pulumi";
import { by, File } from "../file";

new File("top", { content: by("one", "two"), other: "same" }, { ignoreChanges: ["content"] });
new File("added", by<Record<string, unknown>>({}, { extra: "new" }), { ignoreChanges: ["extra"] });
new File("removed", by<Record<string, unknown>>({ extra: "old" }, {}), { ignoreChanges: ["extra"] });
new File(
  "nested",
  { map: by({ a: { b: 1, c: 1 } }, { a: { b: 2, c: 1 } }), list: by(["x", "y"], ["x", "z"]) },
  { ignoreChanges: ["map.a.b", "list[1]"] },
);
new File("wild", { map: by({ a: 1, b: 2 }, { a: 3, b: 4 }) }, { ignoreChanges: ["map.*"] });
new File("partly", { map: by({ a: 1, b: 2 }, { a: 3, b: 4 }) }, { ignoreChanges: ['map["a"]'] });
new File(
  "secret",
  { content: by<pulumi.Input<string>>(pulumi.secret("one"), "two") },
  { ignoreChanges: ["content"] },
);
new File("all", { content: by("one", "two"), more: by(1, 2) }, { ignoreChanges: ["*"] });
new File("broken", { list: by(["x"], ["y", "z"]) }, { ignoreChanges: ["list[1]"] });
new File(
  "plain",
  { content: by("one", "two"), other: by(1, 2) },
  { ignoreChanges: ["content"] },
  "plain-provider",
);
