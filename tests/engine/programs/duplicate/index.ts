import { edition, File } from "../file";

new File("a", { label: "first" });
if (edition === 2) new File("a", { label: "first" });
