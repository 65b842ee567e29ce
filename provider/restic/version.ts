/** A version of restic, as its binary reports it. */
export interface ResticVersion {
  major: number;
  minor: number;
  patch: number;
  /** "0.14.0" */
  text: string;
}

/** The oldest restic that has `--from-repo` and repositories of version 2. */
export const oldestSupported = "0.14.0";

/** The version that first has a feature; gate by version, since unknown flags end restic with exit code 1. */
const firstVersion = {
  /** `--retry-lock` */
  retryLock: "0.16.0",
  /** `snapshot:folder` in restore */
  subfolder: "0.16.0",
  /** `restore --sparse` leaves holes where a file has them */
  sparse: "0.15.0",
  /** targets of symbolic links that are not UTF-8 are kept; older ones rewrite them */
  rawLinks: "0.16.0",
} as const;

/** Something restic can do from a certain version on. */
export type Feature = keyof typeof firstVersion;

/** Reads `restic version --json` (0.17 and newer) or its plain text (which older ones print even with `--json`). */
export function parseVersion(output: string): ResticVersion | undefined {
  const match =
    /"version"\s*:\s*"v?(\d+)\.(\d+)\.(\d+)/.exec(output) ?? /^restic v?(\d+)\.(\d+)\.(\d+)/m.exec(output);
  if (!match) return undefined;
  const [major, minor, patch] = match.slice(1, 4).map(Number) as [number, number, number];
  return { major, minor, patch, text: `${major}.${minor}.${patch}` };
}

/** Whether `version` is `least` ("0.16.0") or newer. */
export function isAtLeast(version: ResticVersion, least: string): boolean {
  const [major = 0, minor = 0, patch = 0] = least.split(".").map(Number);
  if (version.major !== major) return version.major > major;
  if (version.minor !== minor) return version.minor > minor;
  return version.patch >= patch;
}

/** Whether this version of restic has the feature. */
export function supports(version: ResticVersion, feature: Feature): boolean {
  return isAtLeast(version, firstVersion[feature]);
}
