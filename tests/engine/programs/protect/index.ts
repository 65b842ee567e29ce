import { by, edition, File, Folder } from "../file";

// 1: all there and protected; 2: they disappear; 3: a replacement; 4: unprotected; 5: gone
if (edition !== 2 && edition !== 5) {
  const a = new File("a", { path: by("/1", "/1", "/2", "/1") }, { protect: edition < 4 });
  new File("needs-a", { content: a.id });
}
if (edition === 1 || edition === 4) {
  new Folder("held", folder => void new File("child", {}, { parent: folder }) as undefined, {
    protect: edition < 4,
  });
}
if (edition === 1) new File("free", {});
