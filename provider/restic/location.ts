import { homedir } from "node:os";
import { resolve } from "node:path";

/** The backends that restic 0.14 and newer has, besides a folder of this machine. */
const schemes = ["s3", "sftp", "rest", "swift", "b2", "azure", "gs", "rclone"] as const;

/** Where a repository is: a folder of this machine, or what restic's backend makes of the url. */
export interface Location {
  url: string;
  /** The folder of a repository on this machine. */
  localPath: string | undefined;
}

/**
 * Reads a repository's url as restic spells it. A plain name is a folder to restic, so a forgotten scheme would make a
 * repository on the wrong disk: only an absolute path and `local:` with one are folders here.
 * @returns the location, or in words why it is none, with the nearest meaning; the words hold no password
 */
export function locate(given: string): Location | string {
  if (given === "") return "is empty";
  const path = given.startsWith("local:") ? given.slice("local:".length) : given;
  if (path.startsWith("/")) return { url: resolve(path), localPath: resolve(path) };
  if (schemes.some(scheme => given.startsWith(`${scheme}:`))) return { url: given, localPath: undefined };
  return `is neither an absolute path nor begins with local:/ or one of ${schemes.map(scheme => `${scheme}:`).join(" ")}: ${meaningOf(path)}`;
}

function meaningOf(path: string): string {
  if (path.startsWith("~"))
    return `~ is known to shells alone, give the whole path${path === "~" || path.startsWith("~/") ? `, such as ${homedir()}${path.slice(1)}` : ""}`;
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(path)?.[1]?.toLowerCase();
  if (scheme === "http" || scheme === "https")
    return `an S3 store is s3:${scheme}://…, a REST server is rest:${scheme}://…`;
  if (scheme === "ssh") return "did you mean sftp:user@host:/path?";
  if (scheme === "file") return "did you mean the path without file://?";
  const known = schemes.find(name => name === scheme);
  if (known) return `did you mean ${known}:, in small letters?`;
  if (/^[\w.-]+@[\w.-]+:/.test(path)) return "did you mean sftp:user@host:/path?";
  if (/^[\w-]+(\.[\w-]+)+(:\d+)?\//.test(path))
    return "a store's host needs its scheme, such as s3:https://host/bucket";
  if (scheme !== undefined) return `restic has no backend ${scheme}:`;
  return `a folder needs its whole path, such as ${resolve("/srv", path)}`;
}
