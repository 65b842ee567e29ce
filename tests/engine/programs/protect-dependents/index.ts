import { by, File } from "../file";

const a = new File("a", { place: by("here", "there") });
new File("held", { path: a.id }, { protect: true });
