import { by, File } from "../file";

const file = new File("one", { content: by("first", "first", "second") });
export const digest = file.digest;
