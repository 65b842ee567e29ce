/**
 * The Pulumi configuration keys that the provider reads: its own, then those that users of the Pulumi OpenStack
 * provider already have (https://www.pulumi.com/registry/packages/openstack/installation-configuration/).
 */
const keys = [
  "cloud",
  "region",
  "authUrl",
  "authType",
  "userName",
  "userId",
  "password",
  "token",
  "applicationCredentialId",
  "applicationCredentialName",
  "applicationCredentialSecret",
  "tenantId",
  "tenantName",
  "projectId",
  "projectName",
  "userDomainId",
  "userDomainName",
  "projectDomainId",
  "projectDomainName",
  "domainId",
  "domainName",
  "defaultDomain",
  "systemScope",
  "insecure",
  "cacertFile",
  "cert",
  "key",
  "endpointType",
  "endpointOverrides",
  "maxRetries",
] as const;

export const configurationKeys: readonly string[] = [
  ...keys.map(key => `openstackbackup:${key}`),
  ...keys.map(key => `openstack:${key}`),
];
