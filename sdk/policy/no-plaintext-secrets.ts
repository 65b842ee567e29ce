import type { ResourceValidationPolicy } from "@pulumi/policy";
import { define } from "./define";
import { repositoriesIn } from "./repository-url";
import { ifKnown } from "./unknown";

interface Config {
  patterns: string[];
}

/** Inputs that are kept as secrets whatever they hold: nothing stands in plain text there. */
const secretPlaces = /(^|\.)(password|environment)(\.|$)/;

/** Inputs whose values the engine made, or that name what is read elsewhere. */
const otherPlaces = /^(__provider|owner|points|removed)(\.|$)|(^|\.)(passwordFile|caCertFile)$/;

/** Secrets in words that everybody may read: state, plans, Cinder's metadata, restic's tags. No message has the value. */
export const noPlaintextSecrets = define<ResourceValidationPolicy>({
  name: "no-plaintext-secrets",
  displayName: "No secret in plain text",
  description: "Checks whether no password or key stands in metadata, tags, paths, names or addresses.",
  enforcementLevel: "mandatory",
  severity: "critical",
  remediationSteps:
    "Give passwords and keys as password, passwordFile, passwordCommand or environment, and change the one that stood in plain text.",
  configSchema: {
    properties: {
      patterns: {
        type: "array",
        items: { type: "string" },
        default: [
          "(password|passwd|secret|token|api[_-]?key)\\s*[=:]\\s*\\S+",
          "(AKIA|ASIA)[0-9A-Z]{16}",
          "-----BEGIN [A-Z ]*PRIVATE KEY-----",
          "gAAAAA[\\w-]{50,}",
        ],
        description:
          "Regular expressions, of any case: named passwords, keys of AWS, private keys, Keystone's Fernet tokens.",
      },
    },
  },
  validateResource: (args, reportViolation) => {
    if (!/^pulumi-nodejs:dynamic\/openstackbackup:/.test(args.type)) return;
    const { patterns } = args.getConfig<Config>();
    const expressions = patterns.map(asExpression);
    const texts = [...textsIn(args.props)];
    const secrets = texts.filter(([path, text]) => /(^|\.)password$/.test(path) && text.length >= 8);
    for (const [path, text] of texts) {
      if (secretPlaces.test(path) || otherPlaces.test(path)) continue;
      const [place] = secrets.find(([, secret]) => text.includes(secret)) ?? [];
      if (place !== undefined) reportViolation(`${args.name}: ${path} has the value of ${place} in it`);
      else if (expressions.some(expression => expression.test(text)))
        reportViolation(`${args.name}: ${path} looks like a secret in plain text`);
      else if (/(^|\.)passwordCommand$/.test(path) && /^\s*(echo|printf)\s/.test(text))
        reportViolation(`${args.name}: ${path} prints what stands in it: have it read a file or a vault`);
    }
    for (const { url } of repositoriesIn(args))
      if (url.hasPassword)
        reportViolation(
          `${args.name}: ${url.property} ${url.shown} has a password in it: give it by environment, where the store takes it so`,
        );
  },
});

function asExpression(text: string): RegExp {
  try {
    return new RegExp(text, "i");
  } catch (error) {
    throw new Error(
      `no-plaintext-secrets.patterns: '${text}' is no regular expression: ${(error as Error).message}`,
    );
  }
}

/** All texts and their paths; keys of maps are texts too. What a preview does not know is left out. */
function* textsIn(value: unknown, path = ""): Generator<[path: string, text: string]> {
  if (typeof value === "string") yield [path, value];
  if (typeof value !== "object" || value === null) return;
  for (const key of Object.keys(value)) {
    const inner = path === "" ? key : `${path}.${key}`;
    if (/[^\w-]/.test(key)) yield [`a key of ${path || "the inputs"}`, key];
    yield* textsIn(
      ifKnown(() => (value as Record<string, unknown>)[key]),
      inner,
    );
  }
}
