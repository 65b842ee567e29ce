import * as pulumi from "@pulumi/pulumi";
import { edition, File } from "../file";

const secret = pulumi.secret("opensesame");
const a = new File(
  "a",
  { content: secret, withToken: true },
  { additionalSecretOutputs: ["token", "digest"] },
);
a.content.apply(text => console.log(`the program says ${text}`));
a.token.apply(text => pulumi.log.warn(`look, a ${text}`));
export const password = pulumi.secret({ deep: ["swordfish"] });
if (edition === 1) new File("b", { content: a.token, fail: "create", label: a.content });
if (edition === 2) {
  a.content.apply(text => {
    throw new pulumi.RunError(`cannot do it with ${text}`);
  });
}
