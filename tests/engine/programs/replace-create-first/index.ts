import { by, edition, File } from "../file";

const a = new File("a", { content: "a", path: by("/1", "/2", "/3") });
new File("user", { content: a.id });
new File("replaced-user", { path: a.id });
if (edition < 3) new File("by-and-by", { content: a.digest }, { dependsOn: [a] });
