import * as pulumi from "@pulumi/pulumi";
import { by, File } from "../file";

const a = new File(
  "a",
  {
    content: by<unknown>(pulumi.secret("hidden content"), pulumi.secret("other content"), "open content"),
    list: ["open", pulumi.secret("hidden item")],
    nested: {
      open: 1,
      hidden: pulumi.secret({ deep: ["value", 2, null] }),
      more: { hidden: pulumi.secret(true) },
    },
    withToken: true,
  },
  { additionalSecretOutputs: ["token"] },
);
const b = new File("b", { content: a.token });
export const content = a.content;
export const digest = b.digest;
export const tokens = { a: a.token, list: [pulumi.secret("hidden output"), "open output"] };
