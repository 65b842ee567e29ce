import { by, edition, File } from "../file";

// 2 deletes and cannot make again; 3 makes it; 4 is cut short again; 5 does not want it any more
const place = by("1", "2", "2", "3");
const fail = by(undefined, "create", undefined, "create");
if (edition < 5) {
  const a = new File("a", { place, fail });
  new File("user", { path: a.id });
}
