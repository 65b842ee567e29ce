import * as pulumi from "@pulumi/pulumi";
import { edition, File } from "../file";

const file = new File("a", { content: "a" });
const outputs: Record<string, unknown> = {
  text: "text",
  number: 1.5,
  flag: false,
  nothing: null,
  list: [1, "two", { three: 3 }],
  map: { a: { b: file.digest } },
  secret: pulumi.secret({ hidden: true }),
  resource: file,
};
if (edition === 1) outputs.passing = "gone in the next";
else outputs.text = "changed";
module.exports = outputs;
