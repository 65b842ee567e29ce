import { by, File } from "../file";

new File("a", { content: "a", fail: by("read", undefined) });
new File("b", { content: "b" });
