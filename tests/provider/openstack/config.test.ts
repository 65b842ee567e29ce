import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { type CloudConfig, type CloudOptions, resolveCloud } from "../../../provider/openstack";

const OPENRC = {
  OS_AUTH_URL: "https://env.example.com/v3",
  OS_USERNAME: "env-user",
  OS_PASSWORD: "env-password",
  OS_PROJECT_NAME: "env-project",
  OS_USER_DOMAIN_NAME: "Default",
  OS_PROJECT_DOMAIN_NAME: "Default",
};

const PULUMI = {
  "openstack:authUrl": "https://pulumi.example.com/v3",
  "openstack:userName": "pulumi-user",
  "openstack:password": "pulumi-password",
  "openstack:tenantName": "pulumi-project",
  "openstack:userDomainName": "Corp",
  "openstack:projectDomainName": "Corp",
  "openstack:region": "West",
};

describe("resolveCloud", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "osbackup-config-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const resolve = (options: CloudOptions, environment: Record<string, string> = {}): CloudConfig =>
    resolveCloud({ directory, ...options }, { HOME: directory, ...environment });
  const clouds = (text: string) => writeFileSync(join(directory, "clouds.yaml"), text);
  const shape = ({ authUrl, user, scope, password, region }: CloudConfig) => ({
    authUrl,
    user,
    scope,
    password: password?.reveal(),
    region,
  });

  it("takes the login of the Pulumi OpenStack provider", () => {
    const config = resolve({ config: PULUMI });
    assert.deepEqual(shape(config), {
      authUrl: "https://pulumi.example.com/v3",
      user: { name: "pulumi-user", domainName: "Corp" },
      scope: { kind: "project", name: "pulumi-project", domainName: "Corp" },
      password: "pulumi-password",
      region: "West",
    });
    assert.deepEqual([config.cloudName, config.source], ["", "the Pulumi config"]);
  });

  it("prefers the Pulumi config to OS_* variables, key by key", () => {
    const config = resolve(
      { config: { "openstack:tenantName": "other", "openstack:region": "West" } },
      OPENRC,
    );
    assert.deepEqual(shape(config), {
      authUrl: "https://env.example.com/v3",
      user: { name: "env-user", domainName: "Default" },
      scope: { kind: "project", name: "other", domainName: "Default" },
      password: "env-password",
      region: "West",
    });
  });

  it("prefers its own keys to the OpenStack provider's, and options to both", () => {
    const config = {
      ...PULUMI,
      "openstackbackup:userName": "backup-user",
      "openstackbackup:password": "backup-password",
      "openstackbackup:region": "North",
    };
    const own = resolve({ config });
    assert.deepEqual(
      [own.user.name, own.password?.reveal(), own.region],
      ["backup-user", "backup-password", "North"],
    );
    assert.equal(resolve({ config, region: "South" }).region, "South");
    const byId = resolve({
      config: { ...config, "openstack:tenantId": "tid", "openstackbackup:tenantName": "t" },
    });
    assert.deepEqual(byId.scope, { kind: "project", name: "t", domainName: "Corp" });
  });

  it("prefers the cloud option to the config's, that to OS_CLOUD", () => {
    clouds(
      ["a", "b", "c"]
        .map(
          name =>
            `  ${name}: { auth: { auth_url: "https://${name}.example.com", user_id: u, password: p-${name}, project_id: p } }`,
        )
        .join("\n")
        .replace(/^/, "clouds:\n"),
    );
    const config = { "openstack:cloud": "b" };
    const url = (options: CloudOptions) => resolve(options, { OS_CLOUD: "c" }).authUrl;
    assert.equal(url({ cloud: "a", config }), "https://a.example.com");
    assert.equal(url({ config }), "https://b.example.com");
    assert.equal(url({ config: { ...config, "openstackbackup:cloud": "a" } }), "https://a.example.com");
    assert.equal(url({}), "https://c.example.com");
    const overlaid = resolve({ config: { "openstack:cloud": "b", "openstack:tenantName": "t" } });
    assert.deepEqual(overlaid.scope, { kind: "project", name: "t", domainId: "default" });
    assert.equal(overlaid.source, `cloud "b" of ${join(directory, "clouds.yaml")}`);
  });

  it("forgets a lower source's id when a higher one gives a name, and the other way round", () => {
    const ids = { ...OPENRC, OS_PROJECT_ID: "env-project-id", OS_USER_ID: "env-user-id" };
    const names = resolve({ config: { "openstack:tenantName": "t", "openstack:userName": "u" } }, ids);
    assert.deepEqual(names.user, { name: "u", domainName: "Default" });
    assert.deepEqual(names.scope, { kind: "project", name: "t", domainName: "Default" });
    assert.deepEqual(resolve({ config: { "openstack:tenantId": "tid" } }, OPENRC).scope, {
      kind: "project",
      id: "tid",
    });
  });

  it("forgets a lower source's way to log in when a higher one chooses another", () => {
    const credential = {
      "openstack:applicationCredentialId": "ac",
      "openstack:applicationCredentialSecret": "ac-secret",
    };
    const chosen = resolve({ config: credential }, { ...OPENRC, OS_AUTH_TYPE: "v3password" });
    assert.equal(chosen.authType, "applicationCredential");
    assert.equal(chosen.password, undefined);
    assert.deepEqual(chosen.scope, { kind: "unscoped" });
    const back = resolve(
      { config: { "openstack:password": "pw" } },
      { ...OPENRC, OS_TOKEN: "t", OS_AUTH_TYPE: "token" },
    );
    assert.equal(back.authType, "password");
    assert.equal(back.token, undefined);
  });

  it("understands every other key of the OpenStack provider that matters here", () => {
    const config = resolve(
      {
        config: {
          ...PULUMI,
          "openstack:insecure": "true",
          "openstack:cacertFile": "~/ca.pem",
          "openstack:cert": "-----BEGIN CERTIFICATE-----",
          "openstack:key": "-----BEGIN PRIVATE KEY-----",
          "openstack:endpointType": "internalURL",
          "openstack:endpointOverrides":
            '{"volumev3": "https://cinder.example.com/v3", "compute": "https://nova.example.com"}',
          "openstack:maxRetries": "7",
          "openstack:delayedAuth": "true",
          "openstack:enableLogging": "false",
        },
      },
      {},
    );
    assert.equal(config.verify, false);
    assert.equal(config.caCert, join(directory, "ca.pem"));
    assert.equal(config.clientCert, "-----BEGIN CERTIFICATE-----");
    assert.equal(config.clientKey?.reveal(), "-----BEGIN PRIVATE KEY-----");
    assert.deepEqual(config.services["block-storage"], {
      interfaces: ["internal"],
      region: "West",
      endpointOverride: "https://cinder.example.com/v3",
    });
    assert.equal(config.services.compute.endpointOverride, "https://nova.example.com");
    assert.equal(config.maxRetries, 7);
    assert.deepEqual(resolve({ config: { ...PULUMI, "openstack:systemScope": "true" } }).scope, {
      kind: "system",
    });
    const domains = { ...PULUMI, "openstack:userDomainName": "", "openstack:defaultDomain": "corp-id" };
    assert.deepEqual(resolve({ config: domains }).user, { name: "pulumi-user", domainId: "corp-id" });
  });

  it("ignores what openrc exports as an empty string", () => {
    assert.equal(resolve({}, { ...OPENRC, OS_REGION_NAME: "", OS_USER_DOMAIN_ID: "" }).region, undefined);
    clouds('clouds: { a: { auth: { auth_url: "https://a.example.com", user_id: u, password: pw } } }');
    assert.equal(resolve({}, { OS_AUTH_URL: "", OS_USERNAME: "" }).cloudName, "a");
  });

  it("reads the proxies of the environment", () => {
    const { proxies } = resolve(
      {},
      { ...OPENRC, https_proxy: "proxy:3128", HTTP_PROXY: "http://h:1", no_proxy: "a,b" },
    );
    assert.deepEqual(
      [proxies.https?.reveal(), proxies.http?.reveal(), proxies.except],
      ["http://proxy:3128", "http://h:1", "a,b"],
    );
  });

  it("shows no secret when it is printed", () => {
    const config = resolve(
      {},
      {
        ...OPENRC,
        OS_PASSWORD: "visible-1",
        OS_TOKEN: "visible-2",
        OS_APPLICATION_CREDENTIAL_SECRET: "visible-3",
        https_proxy: "http://u:visible-4@p",
      },
    );
    assert.equal(config.password?.reveal(), "visible-1");
    const shown = `${inspect(config, { depth: 10, showHidden: true })}${JSON.stringify(config)}${config.password}`;
    assert.doesNotMatch(shown, /visible/);
  });

  describe("refuses", () => {
    const refusal = (options: CloudOptions, environment: Record<string, string> = {}): string => {
      try {
        resolve(options, environment);
      } catch (error) {
        assert.equal((error as Error).name, "ConfigError");
        return (error as Error).message;
      }
      return assert.fail("it was accepted");
    };

    for (const [what, environment, message] of [
      [
        "kerberos",
        { OS_AUTH_TYPE: "v3kerberos" },
        /"v3kerberos" is not supported: .* create an application credential/,
      ],
      ["saml", { OS_AUTH_TYPE: "v3samlpassword" }, /"v3samlpassword" is not supported/],
      ["websso", { OS_AUTH_TYPE: "v3websso" }, /"v3websso" is not supported/],
      ["Keystone v2", { OS_AUTH_TYPE: "v2password" }, /"v2password" is not supported: Keystone v2 is gone/],
      [
        "an auth URL that is none",
        { OS_AUTH_URL: "keystone.example.com" },
        /^the OS_\* variables: the auth URL is not an http or https URL$/,
      ],
      [
        "an auth URL with a password",
        { OS_AUTH_URL: "https://u:hidden@k/v3" },
        /^the OS_\* variables: the auth URL holds a user name or password/,
      ],
      [
        "an interface nobody knows",
        { OS_INTERFACE: "privat" },
        /^interface "privat" is not known: use public, internal or admin$/,
      ],
      [
        "an override that is no URL",
        { OS_VOLUME_ENDPOINT_OVERRIDE: "cinder" },
        /^endpoint override of block-storage: "cinder" is not a URL$/,
      ],
      [
        "a timeout that is no number",
        { OS_API_TIMEOUT: "long" },
        /^api_timeout: "long" is not a number of zero or more$/,
      ],
      [
        "no password",
        { OS_PASSWORD: "" },
        /^the OS_\* variables: no password: set openstack:password, OS_PASSWORD or/,
      ],
      [
        "no user",
        { OS_USERNAME: "" },
        /^the OS_\* variables: no user: set openstack:userName, OS_USERNAME or/,
      ],
      [
        "an admin token without an endpoint",
        { OS_AUTH_TYPE: "admin_token", OS_TOKEN: "t" },
        /admin_token needs an endpoint$/,
      ],
    ] as [string, Record<string, string>, RegExp][]) {
      it(what, () => assert.match(refusal({}, { ...OPENRC, ...environment }), message));
    }

    it("no login at all, with what can be done", () => {
      assert.equal(
        refusal({}),
        "no OpenStack login is configured: set openstack:authUrl and the keys with it, or OS_AUTH_URL and the variables with it, or name a cloud of clouds.yaml with the cloud property or OS_CLOUD",
      );
    });

    it("to guess between clouds", () => {
      clouds("clouds: { a: {}, b: {} }");
      assert.equal(
        refusal({}),
        `${join(directory, "clouds.yaml")} has the clouds a, b: choose one with the cloud property or OS_CLOUD`,
      );
    });

    it("a cloud that is not there, with those that are", () => {
      clouds("clouds: { a: {}, b: {} }");
      assert.equal(
        refusal({ cloud: "c" }),
        `cloud "c" is not in ${join(directory, "clouds.yaml")}; it has a, b`,
      );
      rmSync(join(directory, "clouds.yaml"));
      assert.equal(refusal({ cloud: "c" }), 'cloud "c" is not in clouds.yaml, which was not found');
    });

    it("a profile nobody has", () => {
      clouds("clouds: { a: { profile: ovh, auth: { user_id: u, password: pw } } }");
      assert.match(
        refusal({ cloud: "a" }),
        /there is no profile "ovh" in clouds-public\.yaml; set auth_url in the entry$/,
      );
    });

    it("broken files without quoting them", () => {
      for (const [name, text] of [
        ["clouds.yaml", "clouds:\n  a:\n    password: hidden-secret\n   b: }"],
        ["clouds.json", '{ "clouds": { "a": { "password": "hidden-secret" '],
        ["clouds.yml", "- hidden-secret"],
        ["clouds.yaml", "clouds: *hidden-secret"],
      ] as const) {
        writeFileSync(join(directory, name), text);
        const message = refusal({ cloud: "a" });
        assert.ok(message.startsWith(join(directory, name)), message);
        assert.doesNotMatch(message, /hidden/);
        rmSync(join(directory, name));
      }
    });

    it("endpoint overrides that are no JSON object", () => {
      for (const text of ["https://x", "[1]"]) {
        assert.equal(
          refusal({ config: { ...PULUMI, "openstack:endpointOverrides": text } }),
          "openstack:endpointOverrides: is not a JSON object of service types and URLs",
        );
      }
    });
  });

  it("reads a file of the working directory before the user's", () => {
    mkdirSync(join(directory, ".config/openstack"), { recursive: true });
    const entry = (url: string) =>
      `clouds: { a: { auth: { auth_url: "${url}", user_id: u, password: pw } } }`;
    writeFileSync(join(directory, ".config/openstack/clouds.yaml"), entry("https://home.example.com"));
    assert.equal(resolve({ cloud: "a" }).authUrl, "https://home.example.com");
    clouds(entry("https://here.example.com"));
    assert.equal(resolve({ cloud: "a" }).authUrl, "https://here.example.com");
  });
});
