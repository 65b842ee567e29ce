import { z } from "zod";
import { SERVICE_ALIASES, type ServiceSettings } from "./config";
import { ConfigError, type ServiceType } from "./errors";

/** The service catalog of a token. */
export const Catalog = z.array(
  z.looseObject({
    type: z.string(),
    name: z.string().optional(),
    endpoints: z
      .array(
        z.looseObject({
          interface: z.string(),
          url: z.string().nullable(),
          region: z.string().nullish(),
          region_id: z.string().nullish(),
        }),
      )
      .default([]),
  }),
);
export type Catalog = z.infer<typeof Catalog>;

/** Finds a service's URL in the catalog by type (official or alias), interface and region. Throws ConfigError with what there is. */
export function findEndpoint(catalog: Catalog, service: ServiceType, settings: ServiceSettings): string {
  const { region, interfaces, serviceName } = settings;
  const candidates = SERVICE_ALIASES[service].flatMap(alias =>
    catalog
      .filter(({ type, name }) => type === alias && (serviceName === undefined || name === serviceName))
      .flatMap(({ endpoints }) => endpoints),
  );
  const inRegion = candidates.filter(
    ({ region: name, region_id: id }) => region === undefined || [name, id].includes(region),
  );
  for (const wanted of interfaces) {
    const found = inRegion.filter(({ interface: name, url }) => url && name.replace(/URL$/, "") === wanted);
    const regions = new Set(found.map(({ region_id, region: name }) => region_id ?? name));
    if (regions.size > 1) {
      throw new ConfigError(
        `the cloud has ${service} in the regions ${[...regions].join(", ")}: choose one with the region property, openstack:region or OS_REGION_NAME`,
      );
    }
    if (found[0]?.url) return found[0].url;
  }
  const known = [...new Set(catalog.map(({ type }) => type))].join(", ") || "no service at all";
  const regions = [...new Set(candidates.map(({ region_id, region: name }) => region_id ?? name))].join(", ");
  const reason =
    candidates.length === 0
      ? `it has ${known}`
      : inRegion.length === 0
        ? `it has it in ${regions}; set the region`
        : `it has other interfaces of it; set the interface`;
  throw new ConfigError(
    `the catalog has no ${service} with interface ${interfaces.join(" or ")}${region === undefined ? "" : ` in region ${region}`}: ${reason}`,
  );
}

/** A service's base URL with version and, for block storage, project: what a call's path is added to. */
export function completeEndpoint(service: ServiceType, url: string, projectId: string | undefined): string {
  const base = url
    .replace(/[%$]\((?:project|tenant)_id\)s/g, projectId ?? "")
    .replace(/\?.*$/, "")
    .replace(/\/+$/, "");
  const versioned = (version: string) => (/\/v\d+(\.\d+)?$/.test(base) ? base : `${base}/${version}`);
  switch (service) {
    case "block-storage": {
      // Old entries of the type "volume" or "volumev2" point at /v2/…, which the same service has dropped for /v3/….
      const root = base.replace(/\/v[123](\.\d+)?(\/[^/]+)?$/, "");
      return projectId === undefined ? `${root}/v3` : `${root}/v3/${projectId}`;
    }
    case "compute":
      return /\/v2(\.\d+)?(\/[^/]+)?$/.test(base) ? base : `${base}/v2.1`;
    case "image":
      return versioned("v2").replace(/\/v2\.\d+$/, "/v2");
    case "network":
      return /\/v2\.0$/.test(base) ? base : `${base}/v2.0`;
    case "identity":
      return keystoneUrl(base);
  }
}

/** Keystone's v3 URL, whether the configuration names the version, an old one, or none. */
export function keystoneUrl(authUrl: string): string {
  return `${authUrl.replace(/\/+$/, "").replace(/\/v(2\.0|3(\.\d+)?)$/, "")}/v3`;
}
