import { by, edition, File, Folder } from "../file";

const a = new File("a", { path: by("/1", "/2") }, { retainOnDelete: true });
if (edition < 3) new File("gone", { content: a.id }, { retainOnDelete: true });
if (edition < 3) {
  new Folder("kept", folder => void new File("child", {}, { parent: folder }) as undefined, {
    retainOnDelete: true,
  });
}
