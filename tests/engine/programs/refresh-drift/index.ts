import * as pulumi from "@pulumi/pulumi";
import { File } from "../file";

const a = new File("a", { content: pulumi.secret("asked for") });
new File("b", { content: a.digest });
new File("c", { content: "c" }, { ignoreChanges: ["content"] });
export const content = a.content;
