import type { ResourceValidationPolicy } from "@pulumi/policy";
import picomatch from "picomatch";
import { define } from "./define";
import { repositoriesIn } from "./repository-url";

interface Config {
  allowedSchemes: string[];
  denyHosts: string[];
}

/** restic encrypts what it stores; what can still be read on its way, or by whom nobody knows, is refused here. */
export const repositoryEncryptedAndPrivate = define<ResourceValidationPolicy>({
  name: "repository-encrypted-and-private",
  displayName: "Repositories are reached by encrypted ways",
  description: "Checks whether repositories are reached by encrypted and allowed ways alone.",
  enforcementLevel: "mandatory",
  severity: "critical",
  remediationSteps: "Give the repository an address with TLS or SSH, such as s3:https://… or sftp:….",
  configSchema: {
    properties: {
      allowedSchemes: {
        type: "array",
        items: { type: "string" },
        default: ["s3:https", "rest:https", "sftp", "swift", "b2", "azure", "gs", "local"],
        description:
          'Ways to a repository; "local" is a folder of the machine that runs the stack: take it out where that is a runner.',
      },
      denyHosts: {
        type: "array",
        items: { type: "string" },
        default: [],
        description: 'Hosts that no repository may be on, "*" in a name stands for any part.',
      },
    },
  },
  validateResource: (args, reportViolation) => {
    const { allowedSchemes, denyHosts } = args.getConfig<Config>();
    for (const { url } of repositoriesIn(args)) {
      const where = `${args.name}: ${url.property} ${url.shown}`;
      if (!allowedSchemes.includes(url.scheme))
        reportViolation(`${where} is reached by ${url.scheme}; allowed are ${allowedSchemes.join(", ")}`);
      if (url.host !== "" && picomatch.isMatch(url.host, denyHosts))
        reportViolation(
          `${where} is on ${url.host}, which repository-encrypted-and-private.denyHosts refuses`,
        );
    }
  },
});
