import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { type CloudConfig, ConfigError, resolveCloud } from "../../../provider/openstack";
import type { Named } from "../../../provider/openstack/config";
import { skips } from "../../needs";

type Fields = Record<string, unknown>;

interface Case {
  cloud?: string;
  region?: string;
  env?: Record<string, string | null>;
  files?: Record<string, string>;
  difference?: { why: string; ours?: Fields; sameAs?: string; error?: string };
}

const FIXTURES = join(__dirname, "../../fixtures/openstack");
const CASES_FILE = join(FIXTURES, "clouds-cases.yaml");
const cases: Record<string, Case> = parse(readFileSync(CASES_FILE, "utf8"), { merge: true });

/** Our answer to a case, in openstacksdk's words. */
function ours({ cloud, region, env = {}, files = {} }: Case): Fields {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "osbackup-matrix-")));
  try {
    for (const place of ["home", "cwd"]) mkdirSync(join(root, place));
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    const environment: Record<string, string> = { HOME: join(root, "home") };
    for (const [key, value] of Object.entries(env)) {
      if (value !== null) environment[key] = value.replaceAll("{root}", root);
    }
    const options = { directory: join(root, "cwd"), ...(cloud && { cloud }), ...(region && { region }) };
    const answer = translate(resolveCloud(options, environment));
    return JSON.parse(JSON.stringify(answer).replaceAll(root, "{root}"));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { error: error.message.replaceAll(root, "{root}") };
  } finally {
    rmSync(root, { recursive: true });
  }
}

function translate(config: CloudConfig): Fields {
  const { scope } = config;
  const service = (type: "block-storage" | "compute" | "image") => {
    const { interfaces, region, endpointOverride, newestMicroversion } = config.services[type];
    return {
      interface: interfaces.join(","),
      region: region ?? null,
      endpoint: endpointOverride ?? null,
      microversion: newestMicroversion ?? null,
    };
  };
  const key = config.clientKeyFile;
  return canonical({
    cloud: config.cloudName,
    region: config.region ?? null,
    auth_type:
      { applicationCredential: "applicationcredential", adminToken: "admin_token" }[
        config.authType as string
      ] ?? config.authType,
    auth_url: config.authUrl || undefined,
    ...who("user", config.user, "username"),
    ...(scope.kind === "project" && who("project", scope, "project_name")),
    ...(scope.kind === "domain" && { domain_id: scope.id, domain_name: scope.name }),
    ...(scope.kind === "system" && { system_scope: "all" }),
    ...(scope.kind === "trust" && { trust_id: scope.id }),
    password: config.password?.reveal(),
    token: config.token?.reveal(),
    application_credential_id: config.applicationCredentialId,
    application_credential_name: config.applicationCredentialName,
    application_credential_secret: config.applicationCredentialSecret?.reveal(),
    verify: config.verify ? (config.caCert ?? true) : false,
    cert:
      config.clientCert === undefined
        ? null
        : key === undefined
          ? config.clientCert
          : [config.clientCert, key],
    timeout: config.timeoutSeconds,
    services: {
      "block-storage": service("block-storage"),
      compute: service("compute"),
      image: service("image"),
    },
  });
}

function who(prefix: string, named: Named, nameKey: string): Fields {
  return {
    [`${prefix}_id`]: named.id,
    [nameKey]: named.name,
    [`${prefix}_domain_id`]: named.domainId,
    [`${prefix}_domain_name`]: named.domainName,
  };
}

/** The answer without what Keystone would not be told, nor how it is written: a domain beside an id, the v3 of a type. */
function canonical(answer: Fields): Fields {
  if ("error" in answer) return { error: answer.error };
  const result: Fields = structuredClone(answer);
  result.auth_type = String(result.auth_type).replace(/^v3/, "");
  const drop = (...keys: string[]) => {
    for (const key of keys) delete result[key];
  };
  if (result.auth_type === "applicationcredential") {
    drop(
      "project_id",
      "project_name",
      "project_domain_id",
      "project_domain_name",
      "domain_id",
      "domain_name",
    );
    if (result.application_credential_id) drop("username", "user_id", "user_domain_id", "user_domain_name");
  }
  if (result.user_id || !result.username) drop("username", "user_domain_id", "user_domain_name");
  if (result.project_id || !result.project_name)
    drop("project_name", "project_domain_id", "project_domain_name");
  result.timeout ??= 60;
  const services = result.services as Record<string, { interface: string | string[] }>;
  for (const service of Object.values(services)) {
    service.interface = [service.interface].flat().join(",").replaceAll("URL", "");
  }
  return JSON.parse(JSON.stringify(result));
}

function merged(under: Fields, over: Fields): Fields {
  const result: Fields = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const old = result[key];
    const isNested = typeof value === "object" && typeof old === "object" && value !== null && old !== null;
    result[key] = isNested ? merged(old as Fields, value as Fields) : value;
  }
  return result;
}

describe("resolveCloud and openstacksdk", () => {
  const recorded = JSON.parse(readFileSync(join(FIXTURES, "clouds-matrix.json"), "utf8"));

  for (const [name, test] of Object.entries(cases)) {
    const { difference } = test;
    it(difference ? `differ, for ${difference.why}: ${name}` : `agree: ${name}`, () => {
      const theirs = canonical(recorded.answers[name]);
      const answer = ours(test);
      if (typeof answer.error === "string") assert.doesNotMatch(answer.error, /secret-word|-secret/);
      if (difference?.error !== undefined) assert.deepEqual(answer, { error: difference.error });
      else if (difference?.sameAs !== undefined) {
        assert.deepEqual(answer, canonical(recorded.answers[difference.sameAs]));
        assert.notDeepEqual(answer, theirs);
      } else if (difference?.ours) {
        assert.deepEqual(answer, merged(theirs, difference.ours));
        assert.notDeepEqual(answer, theirs);
      } else if ("error" in theirs) assert.equal(typeof answer.error, "string", JSON.stringify(answer));
      else assert.deepEqual(answer, theirs);
    });
  }

  it("are compared with a recording of every case", () => {
    assert.deepEqual(Object.keys(recorded.answers), Object.keys(cases));
  });

  it("are compared with what openstacksdk answers today, where there is one", function () {
    const python = process.env.OSBACKUP_OPENSTACKSDK_PYTHON;
    if (!python) return skips(this, "OSBACKUP_OPENSTACKSDK_PYTHON names no Python with openstacksdk");
    this.timeout(120_000);
    const directory = mkdtempSync(join(tmpdir(), "osbackup-matrix-"));
    try {
      const file = join(directory, "answers.json");
      execFileSync(python, [join(__dirname, "matrix/resolve.py"), CASES_FILE, file], { stdio: "pipe" });
      assert.deepEqual(JSON.parse(readFileSync(file, "utf8")).answers, recorded.answers);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
