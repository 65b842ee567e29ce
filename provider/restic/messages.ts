import { StringDecoder } from "node:string_decoder";
import { getSystemErrorName } from "node:util";
import { ResticError } from "./errors";

/** A line longer than this is dropped; restic's own longest, a status with many file names, stays far below. */
const longestLine = 64 * 1024 * 1024;

/** Cuts a byte stream into lines, whatever the chunks and however long the lines; call `end` for the last one. */
export class LineSplitter {
  private readonly decoder = new StringDecoder("utf8");
  private parts: string[] = [];
  private length = 0;

  constructor(private readonly onLine: (line: string) => void) {}

  write(chunk: Buffer): void {
    this.take(this.decoder.write(chunk));
  }

  end(): void {
    this.take(this.decoder.end());
    if (this.length > 0) this.flush();
  }

  private take(text: string): void {
    let from = 0;
    for (;;) {
      const newline = text.indexOf("\n", from);
      if (newline < 0) break;
      this.hold(text.slice(from, newline));
      this.flush();
      from = newline + 1;
    }
    this.hold(text.slice(from));
  }

  private hold(text: string): void {
    if (text === "") return;
    this.length += text.length;
    if (this.length <= longestLine) this.parts.push(text);
    else this.parts = [];
  }

  private flush(): void {
    const dropped = this.length > longestLine;
    const line = this.parts.join("").replace(/\r$/, "");
    this.parts = [];
    this.length = 0;
    if (!dropped && line !== "") this.onLine(line);
  }
}

/** One JSON line of restic; fields that are not there are undefined, since they differ by version. */
export type Message = { message_type: string } & Record<string, unknown>;

/** Reads a line as a message; undefined for the plain text that restic mixes in. */
export function parseMessage(line: string): Message | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null) return undefined;
    return "message_type" in value && typeof value.message_type === "string" ? (value as Message) : undefined;
  } catch {
    return undefined;
  }
}

/** How far a backup is. */
export interface Progress {
  bytesDone: number;
  /** known once restic has scanned the source */
  bytesTotal?: number;
  filesDone: number;
  /** 0 to 100 */
  percent?: number;
  etaSeconds?: number;
}

/** Reads a status line; undefined for other messages, `scan_finished` (a "status" without numbers) among them. */
export function toProgress(message: Message): Progress | undefined {
  if (message.message_type !== "status" || "action" in message) return undefined;
  const progress: Progress = {
    bytesDone: numberOf(message.bytes_done) ?? 0,
    filesDone: numberOf(message.files_done) ?? 0,
  };
  const total = numberOf(message.total_bytes);
  if (total !== undefined) progress.bytesTotal = total;
  const part = numberOf(message.percent_done);
  if (part !== undefined) progress.percent = Math.round(part * 1000) / 10;
  const eta = numberOf(message.seconds_remaining);
  if (eta !== undefined) progress.etaSeconds = eta;
  return progress;
}

/** A file that restic could not read. */
export interface UnreadableFile {
  path: string;
  reason: string;
}

/** Reads an error line, whose `error` is `{}`, `{Op, Path, Err}` or (from 0.17.1) `{message}`. */
export function toUnreadable(message: Message): UnreadableFile | undefined {
  if (message.message_type !== "error") return undefined;
  const error = (typeof message.error === "object" && message.error) || {};
  const { message: text, Op: operation, Err: code } = error as Record<string, unknown>;
  let reason = "could not be read";
  if (typeof text === "string" && text !== "") reason = text;
  else if (typeof code === "number" && code > 0)
    reason = `${String(operation ?? "read")}: ${systemErrorName(code)}`;
  return { path: String(message.item ?? ""), reason };
}

function systemErrorName(code: number): string {
  try {
    return getSystemErrorName(-code);
  } catch {
    return `error ${code}`;
  }
}

/** The value if it is a finite number. */
export function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** An answer of restic in JSON. */
export function parseJson(text: string, doing: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ResticError("failed", `${doing}: restic's answer is not JSON`);
  }
}
