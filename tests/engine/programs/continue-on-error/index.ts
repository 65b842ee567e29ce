import { by, edition, File } from "../file";

const a = new File("a", { fail: by("create", undefined) });
new File("needs-a", { content: a.id });
const b = new File("b", {});
new File("needs-b", { content: b.id });
if (edition === 2) new File("fails-later", { fail: "delete" });
