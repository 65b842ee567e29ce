import { by, edition, File } from "../file";

new File("same", { content: "x", list: [1, 2], none: null }, {}, "plain-provider");
new File("changed", { content: by("one", "two") }, {}, "plain-provider");
new File("more", edition > 1 ? { added: true } : {}, {}, "plain-provider");
new File("less", edition > 1 ? {} : { dropped: { a: 1 } }, {}, "plain-provider");
