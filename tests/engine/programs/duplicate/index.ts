import { edition, File } from "../file";

const a = new File("a", { label: "first" });
if (edition === 2) new File("a", { label: "first", content: a.id });
