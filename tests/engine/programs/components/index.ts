import { by, edition, File, Folder } from "../file";

new Folder("outer", outer => {
  const file = new File("in-outer", { content: "x" }, { parent: outer });
  new Folder(
    "inner",
    inner => {
      const deep = new File("in-inner", { content: file.digest }, { parent: inner });
      return { deep: deep.digest, file: deep, edition };
    },
    { parent: outer },
  );
  return by<Record<string, unknown> | undefined>(
    { digest: file.digest },
    { digest: file.digest, more: [1, { a: 2 }] },
  );
});
new Folder("silent", () => undefined);
if (edition === 1)
  new Folder("passing", folder => void new File("in-passing", {}, { parent: folder }) as undefined);
