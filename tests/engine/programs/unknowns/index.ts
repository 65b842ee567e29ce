import * as pulumi from "@pulumi/pulumi";
import { by, File } from "../file";

const a = new File("a", { content: "a", path: by("/1", "/2") });
const b = new File("b", {
  content: a.digest.apply(text => text.length),
  list: [a.id, "known"],
  map: { id: a.id },
});
const c = new File("c", { content: pulumi.interpolate`${b.id} of ${a.id}` });
export const id = a.id;
export const known = "known";
export const mixed = { text: pulumi.interpolate`${c.digest}!`, fixed: 1 };
