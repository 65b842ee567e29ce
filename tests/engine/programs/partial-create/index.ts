import { by, edition, File } from "../file";

const before = edition < 3 ? [new File("before", {})] : [];
const a = new File("a", { content: "a", partial: by("create", undefined) }, { dependsOn: before });
new File("b", { content: a.digest });
