import { by, File } from "../file";

const a = new File("a", {});
new File("b", { content: a.id, fail: by("check", undefined) });
