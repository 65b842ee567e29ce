import { by, File } from "../file";

const a = new File("a", { content: by("one", "two", "two"), fail: by(undefined, "update", undefined) });
new File("b", { content: a.digest });
export const content = a.content;
export const edition = by(1, 2, 3);
