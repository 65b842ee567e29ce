import { by, File } from "../file";

new File("a", { content: "a", partial: by("create", undefined) }, { replaceOnChanges: ["#initerror"] });
