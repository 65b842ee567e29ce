import { by, File } from "../file";

const a = new File("a", { content: "a", place: by("here", "there") });
const updated = new File("updated", { content: a.id });
const replaced = new File("replaced", { path: a.id });
new File("replaced-too", { path: replaced.id, content: "x" });
new File("place-user", { place: replaced.id });
new File("waits", { content: "y" }, { dependsOn: [a, updated] });
