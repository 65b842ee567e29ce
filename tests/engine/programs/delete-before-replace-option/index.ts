import { by, File } from "../file";

const first = new File("first", { path: by("/1", "/2") }, { deleteBeforeReplace: true });
new File("user", { path: first.id });
const last = new File("last", { place: by("here", "there") }, { deleteBeforeReplace: false });
new File("last-user", { path: last.id });
