import { by, edition, File } from "../file";

const a = new File("a", { content: "a", partial: by("create", undefined) });
new File("b", { content: a.digest });
if (edition < 3) new File("aside", {});
