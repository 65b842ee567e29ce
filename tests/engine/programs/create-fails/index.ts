import { by, File } from "../file";

const a = new File("a", {});
const b = new File("b", { content: a.id, fail: by("create", undefined) });
new File("c", { content: b.id });
