import { edition, File } from "../file";

const a = new File("a", {});
if (edition === 1) {
  const held = new File("held", { content: a.id, fail: "delete" });
  new File("on-top", { content: held.id });
}
