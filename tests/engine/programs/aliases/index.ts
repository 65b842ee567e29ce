import * as pulumi from "@pulumi/pulumi";
import { by, edition, File, Folder } from "../file";

const stack = pulumi.getStack();
const project = pulumi.getProject();
new File(
  by("old-name", "new-name"),
  { label: "renamed" },
  edition > 1 ? { aliases: [{ name: "old-name" }] } : {},
);
new File(
  by("by-urn", "found-by-urn"),
  { label: "by-urn" },
  edition > 1
    ? { aliases: [`urn:pulumi:${stack}::${project}::pulumi-nodejs:dynamic/files:File::by-urn`] }
    : {},
);
const folder = new Folder(
  by("folder", "cabinet"),
  parent => {
    const name = by("folder", "cabinet");
    const child = new File(`${name}-child`, { label: "child" }, { parent });
    new File("free-child", { label: "free", content: child.id }, { parent, dependsOn: [child] });
    return undefined;
  },
  edition > 1 ? { aliases: [{ name: "folder" }] } : {},
);
new Folder(
  "typed",
  () => undefined,
  edition > 1 ? { aliases: [{ type: "test:index:Folder" }] } : {},
  by("test:index:Folder", "test:index:Box"),
);
new File(
  "moved",
  { label: "moved" },
  edition > 1 ? { parent: folder, aliases: [{ parent: pulumi.rootStackResource }] } : {},
);
new File("unused", {}, { aliases: [{ name: "never-was" }] });
