import * as pulumi from "@pulumi/pulumi";
import { edition, File } from "../file";

const a = new File("a", {});
if (edition === 1) new File("later-missing", { content: a.id });
if (edition === 2) {
  const fresh = new File("new", {});
  pulumi.all([a.id, fresh.urn]).apply(() => {
    throw new pulumi.RunError("the program gives up");
  });
}
export const id = a.id;
export const number = edition;
