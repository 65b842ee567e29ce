import { edition, File, Folder } from "../file";

const a = new File("a", {});
const folder = new Folder(
  "folder",
  parent => void new File("in-folder", {}, { parent, dependsOn: [a] }) as undefined,
);
if (edition === 1) {
  const b = new File("b", {}, { dependsOn: [folder] });
  new File("c", { content: b.id }, { dependsOn: [a, b] });
}
if (edition === 2) new File("c", { content: "free" });
