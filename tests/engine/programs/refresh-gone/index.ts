import { File, Folder } from "../file";

const a = new File("a", {});
const b = new File("b", { content: a.id }, { dependsOn: [a] });
new Folder("folder", parent => {
  new File("child", { content: b.digest }, { parent, dependsOn: [a, b] });
  return undefined;
});
