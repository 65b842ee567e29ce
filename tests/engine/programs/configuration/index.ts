import * as pulumi from "@pulumi/pulumi";
import { edition, File } from "../file";

const config = new pulumi.Config();
const a = new File("a", { content: config.require("content") }, {}, "configured-provider");
if (edition < 3) new File("b", { content: config.requireSecret("password") }, {}, "configured-provider");
export const greeting = a.greeting;
export const password = config.requireSecret("password");
export const map = config.getObject<object>("map");
