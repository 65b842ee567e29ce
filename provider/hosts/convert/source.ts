import type { Place } from "../functions";

/** What another system's file says, and where it came from. */
export interface Source {
  path: string;
  /** Without its folder. */
  name: string;
  text: string;
  /** The cloud is not asked. */
  offline: boolean;
  place: Place;
}

/** A program that stands for it. */
export interface Converted {
  program: string;
  /** What is in the file, in words, and what has no meaning here. */
  notes: string[];
  /** The configuration that the program asks for: each key with what its value is. */
  config: Record<string, { what: string; secret?: boolean }>;
}

/** How the program's configuration is set. */
export const configCommands = (config: Converted["config"]): string[] =>
  Object.entries(config).map(
    ([key, { what, secret }]) =>
      `  pulumi config set ${secret ? `--secret ${key}` : `${key} …`}    # ${what}`,
  );

/** "3 schedules", "1 server" */
export const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;

/** A program for images of the server that the configuration names, by this plan. */
export const serverProgram = (plan: string): string => `import * as pulumi from "@pulumi/pulumi";
import { getServersOutput, ServerBackupPlan } from "pulumi-openstack-backup";

const name = new pulumi.Config().require("server");
const server = getServersOutput().apply(all => {
  const [found, another] = all.filter(one => one.id === name || one.name === name);
  if (!found || another) throw new pulumi.RunError(\`there is no server '\${name}', or more than one; of one that is gone give the id\`);
  return found;
});

const plan = ${plan};

export const images = Object.entries(plan.sets).map(([type, set]) => pulumi.interpolate\`\${type}: \${set.imageId}\`);`;
