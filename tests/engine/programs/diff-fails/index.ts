import { by, File } from "../file";

new File("a", { fail: by(undefined, "diff", undefined), content: by("x", "y") });
