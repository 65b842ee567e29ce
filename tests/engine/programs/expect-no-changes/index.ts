import { by, File } from "../file";

new File("a", { content: by("one", "two") });
