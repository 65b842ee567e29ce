import { z } from "zod";
import type { ServiceType } from "./errors";

/** Newest Cinder microversion this client was held to recordings of; newer ones may change what an answer means. */
export const NEWEST_KNOWN: Partial<Record<ServiceType, string>> = { "block-storage": "3.71" };

const MAJOR: Partial<Record<ServiceType, string>> = { "block-storage": "3", compute: "2" };

/** The name a service goes by in the OpenStack-API-Version header. */
const HEADER_NAMES: Partial<Record<ServiceType, string>> = { "block-storage": "volume", compute: "compute" };

/** Headers that ask for a microversion; none for a service without microversions. */
export function microversionHeader(
  service: ServiceType,
  version: string | undefined,
): Record<string, string> {
  const name = HEADER_NAMES[service];
  return name !== undefined && version !== undefined ? { "OpenStack-API-Version": `${name} ${version}` } : {};
}

/** Negative when a is older than b: "3.9" is older than "3.70". */
export function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}

/** The older of two microversions. */
export function olderOf(a: string, b: string): string {
  return compareVersions(a, b) <= 0 ? a : b;
}

const Version = z.looseObject({
  id: z.string(),
  version: z.string().optional(),
  status: z.string().optional(),
});
const VersionDocument = z.looseObject({ versions: z.array(Version).optional(), version: Version.optional() });

/**
 * Newest microversion in a version document: of Cinder's /v3/ or / (which answers 300), of Nova's /v2.1/.
 * Undefined when the document is not one; "3.0" or "2.1" when the service has no microversions.
 */
export function newestMicroversion(service: ServiceType, document: unknown): string | undefined {
  const major = MAJOR[service];
  const parsed = VersionDocument.safeParse(document);
  if (!parsed.success || major === undefined) return undefined;
  const versions = [...(parsed.data.versions ?? []), ...(parsed.data.version ? [parsed.data.version] : [])];
  const ours = versions.filter(({ id }) => id.startsWith(`v${major}.`) || id === `v${major}`);
  if (ours.length === 0) return undefined;
  return ours
    .map(({ version, id }) => (version !== undefined && /^\d+\.\d+$/.test(version) ? version : id.slice(1)))
    .reduce((a, b) => (compareVersions(a, b) >= 0 ? a : b));
}
