import { by, File } from "../file";

const a = new File("a", { path: by("/1", "/2"), fail: by("delete", undefined) });
new File("user", { content: a.id });
