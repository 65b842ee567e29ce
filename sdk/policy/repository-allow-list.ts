import type { ResourceValidationPolicy } from "@pulumi/policy";
import picomatch from "picomatch";
import { define } from "./define";
import { repositoriesIn } from "./repository-url";

interface Config {
  hosts: string[];
  buckets: string[];
  regions: string[];
}

const list = (what: string) =>
  ({
    type: "array",
    items: { type: "string" },
    default: [],
    description: `${what}, "*" in a name stands for any part; empty allows all.`,
  }) as const;

const regionVariables = ["AWS_DEFAULT_REGION", "AWS_REGION", "OS_REGION_NAME"];

/** Data residency: where copies may be. */
export const repositoryAllowList = define<ResourceValidationPolicy>({
  name: "repository-allow-list",
  displayName: "Repositories are where they may be",
  description: "Checks whether repositories are on the hosts, in the buckets and regions that are allowed.",
  enforcementLevel: "mandatory",
  severity: "medium",
  remediationSteps: "Move the repository to an allowed place, or have the place allowed.",
  configSchema: {
    properties: {
      hosts: list('Hosts that may have a repository ("local" for a folder)'),
      buckets: list("Buckets or containers that may hold one"),
      regions: list(`Regions, as ${regionVariables.join(", ")} of the repository's environment name them`),
    },
  },
  validateResource: (args, reportViolation) => {
    const { hosts, buckets, regions } = args.getConfig<Config>();
    for (const { url, environment } of repositoriesIn(args)) {
      const where = `${args.name}: ${url.property} ${url.shown}`;
      const refuse = (what: string, value: string, allowed: string[], setting: string) => {
        if (allowed.length === 0 || picomatch.isMatch(value, allowed)) return;
        const named = value === "" ? `names no ${what}` : `is of ${what} ${value}`;
        reportViolation(
          `${where} ${named}; allowed are ${allowed.join(", ")} (repository-allow-list.${setting})`,
        );
      };
      refuse("host", url.scheme === "local" ? "local" : url.host, hosts, "hosts");
      if (url.scheme === "local") continue;
      if (url.bucket !== "") refuse("bucket", url.bucket, buckets, "buckets");
      const region = regionVariables
        .map(name => environment?.[name])
        .find(value => typeof value === "string");
      refuse("region", String(region ?? ""), regions, "regions");
    }
  },
});
