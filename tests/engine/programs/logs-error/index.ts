import * as pulumi from "@pulumi/pulumi";
import { edition, File } from "../file";

new File("a", {});
if (edition === 1) new File("b", {});
if (edition === 2) pulumi.log.error("something is wrong");
pulumi.log.warn("look out");
