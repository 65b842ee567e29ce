import { by, File } from "../file";

const a = new File("a", { content: by("one", "two", "two"), partial: by(undefined, "update", undefined) });
new File("b", { content: a.content });
