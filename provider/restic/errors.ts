import type { LockOwner } from "./locks";

/**
 * Why restic, or the call of it, failed. "no-repository" is said only where the repository is provably absent;
 * "unreachable" covers refused connections and TLS; "empty-source" that there was nothing to back up; "partial" that
 * files could not be read; "failed" everything else.
 */
export type ResticErrorKind =
  | "not-installed"
  | "no-repository"
  | "wrong-password"
  | "locked"
  | "unreachable"
  | "access-denied"
  | "no-space"
  | "partial"
  | "empty-source"
  | "cancelled"
  | "timeout"
  | "failed";

/** What else is known of a failure. */
export interface ResticErrorDetails {
  exitCode?: number | undefined;
  /** who holds the lock that was in the way */
  locks?: readonly LockOwner[] | undefined;
  /** full ids of the snapshots that could not be forgotten and are still there */
  remaining?: readonly string[] | undefined;
  /** the snapshot that restic has named, of a backup that could not be proven; may be short */
  made?: string | undefined;
  /** `check` has read the repository and found it damaged */
  damaged?: boolean | undefined;
}

/** A failure of restic. The message holds no secret; texts of restic were redacted before. */
export class ResticError extends Error {
  readonly kind: ResticErrorKind;
  /** restic's exit code; undefined when it did not run or was killed */
  readonly exitCode: number | undefined;
  readonly locks: readonly LockOwner[];
  readonly remaining: readonly string[];
  readonly made: string | undefined;
  readonly damaged: boolean;

  constructor(kind: ResticErrorKind, message: string, details: ResticErrorDetails = {}) {
    super(message);
    this.name = "ResticError";
    this.kind = kind;
    this.exitCode = details.exitCode;
    this.locks = details.locks ?? [];
    this.remaining = details.remaining ?? [];
    this.made = details.made;
    this.damaged = details.damaged ?? false;
  }
}

/** Whether `error` is a ResticError of that kind. */
export function isKind(error: unknown, kind: ResticErrorKind): error is ResticError {
  return error instanceof ResticError && error.kind === kind;
}

export const isNoRepository = (error: unknown): error is ResticError => isKind(error, "no-repository");

/**
 * What restic says, from 0.14 on, when its config file is not there. Every other failure to open a repository prints
 * the same first words and "Is there a repository at the following location?" too.
 */
const absent = [
  /^Stat: The specified key does not exist\.$/, // s3
  /^Stat: The specified bucket does not exist\.?$/, // s3; init makes the bucket
  /^<config\/> does not exist$/, // rest, rclone
  /^Lstat: file does not exist$/, // sftp
  /^conn\.Object: Object Not Found$/, // swift
  /^(service\.Objects\.Get: )?storage: object doesn't exist$/, // gs
];

/** Whether a text of restic below 0.17 (which has no exit code for it) proves that there is no repository. */
export function saysAbsent(text: string, localPath: string | undefined): boolean {
  const reason = /^Fatal: (?:repository does not exist: )?unable to open config file: (.*)$/m.exec(text)?.[1];
  if (reason === undefined) return false;
  if (localPath !== undefined) return reason === `stat ${localPath}/config: no such file or directory`;
  return absent.some(pattern => pattern.test(reason));
}

/** The order matters: the first that matches wins. */
const patterns: [ResticErrorKind, RegExp][] = [
  ["locked", /repository is already locked/],
  [
    "wrong-password",
    /wrong password or no key found|an empty password is not a password|Resolving password failed/,
  ],
  [
    "no-space",
    /no space left on device|disk quota exceeded|file too large|Insufficient Storage|QuotaExceeded|XMinioStorageFull/i,
  ],
  ["unreachable", /x509:|tls: |server gave HTTP response to HTTPS client/],
  [
    "access-denied",
    /access ?denied|permission denied|operation not permitted|read-only file system|InvalidAccessKeyId|SignatureDoesNotMatch|Access Key Id you provided|request signature we calculated|\b40[13]\b (Unauthorized|Forbidden)|response \(40[13]\)|\(40[13]\)|AuthorizationFailed|WORM protected|object is locked/i,
  ],
  [
    "unreachable",
    /connection refused|connection reset|no such host|i\/o timeout|network is unreachable|no route to host|host is down|deadline exceeded|TLS handshake|server misbehaving|broken pipe|unexpected EOF|Client\.Timeout|ssh: |(HTTP response|response) \(5\d\d\)|50[234] (Bad Gateway|Service Unavailable|Gateway Time)/i,
  ],
];

/** Names the kind of a failed run from its exit code and everything it wrote to standard error. */
export function classify(exitCode: number | undefined, text: string, localPath?: string): ResticErrorKind {
  // 10, 11 and 12 mean nothing else in any version; older ones end with 1 and a text
  if (exitCode === 10) return "no-repository";
  if (exitCode === 11) return "locked";
  if (exitCode === 12) return "wrong-password";
  if (exitCode === 130) return "cancelled";
  if (saysAbsent(text, localPath)) return "no-repository";
  return patterns.find(([, pattern]) => pattern.test(text))?.[0] ?? "failed";
}

/** followed by the url, which the message names anyway */
const advice = "Is there a repository at the following location?";

const noise = [
  /^Is there a repository at the following location\?$/,
  /^the `unlock` command can be used/,
  /^signal interrupt received, cleaning up/,
  /^(lock was created at|storage ID) /,
  /^\s*$/,
];

/** The few words of restic's standard error that say why it failed, on one line. */
export function distill(lines: readonly string[]): string {
  const plain = lines.flatMap(line =>
    line.startsWith("{") ? (exitMessage(line) ?? "").split("\n") : [line],
  );
  const telling = plain.filter((line, index) => {
    // a frame of a Go stack trace is a function and, indented, its place
    if (line.startsWith("\t") || plain[index + 1]?.startsWith("\t")) return false;
    if (plain[index - 1] === advice || plain.indexOf(line) < index) return false;
    return !noise.some(pattern => pattern.test(line));
  });
  const final = telling.filter(line => !/returned error, retrying after/.test(line));
  const pool = final.length > 0 ? final : telling;
  const fatal = pool.findIndex(line => line.startsWith("Fatal: "));
  const chosen = fatal >= 0 ? pool.slice(Math.max(0, fatal - 2), fatal + 2) : pool.slice(-3);
  const text = chosen.map(line => line.replace(/^Fatal: /, "").trim()).join("; ");
  return text.length > 800 ? `${text.slice(0, 800)}…` : text;
}

/** 0.18 and newer report the reason of their end as JSON on standard error. */
function exitMessage(line: string): string | undefined {
  try {
    const message = JSON.parse(line) as { message_type?: unknown; message?: unknown };
    return message.message_type === "exit_error" ? String(message.message) : undefined;
  } catch {
    return undefined;
  }
}
