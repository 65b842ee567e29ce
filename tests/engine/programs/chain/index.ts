import { by, edition, File } from "../file";

const a = new File("a", { content: "a", path: by("/1", "/1", "/2") });
const b = new File("b", { content: a.digest, path: a.id });
const c = edition < 4 ? new File("c", { content: b.digest }) : undefined;
new File("aside", { content: "alone" });
export const last = c?.digest;
