import { File } from "../file";

const a = new File("a", { content: "a", delayMs: 4000 });
new File("b", { content: a.id });
