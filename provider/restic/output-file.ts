import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResticError } from "./errors";
import { LineSplitter } from "./messages";

/** Linux' O_TMPFILE, which Node does not name: a file that never has a name, so that no kill can leave it. */
const unnamed = 0o20200000;

const openNameless = (): Promise<FileHandle> =>
  open(tmpdir(), unnamed | constants.O_RDWR | constants.O_APPEND, 0o600);

/** Elsewhere, and on file systems that cannot do it. */
async function openAndUnlink(): Promise<FileHandle> {
  const path = join(tmpdir(), `osbackup-output-${randomUUID()}`);
  const file = await open(path, "ax+", 0o600);
  await unlink(path);
  return file;
}

/** A file without a name that a process writes to and this one reads, while and after it does. */
export class OutputFile {
  private position = 0;
  private splitter: LineSplitter | undefined;
  private timer: NodeJS.Timeout | undefined;
  private reading: Promise<void> = Promise.resolve();

  private constructor(private readonly file: FileHandle) {}

  static async open(): Promise<OutputFile> {
    try {
      return new OutputFile(await openNameless().catch(openAndUnlink));
    } catch (error) {
      throw new ResticError("failed", `making a file for restic's output: ${(error as Error).message}`);
    }
  }

  get descriptor(): number {
    return this.file.fd;
  }

  /** Passes each line on, four times a second. */
  onLine(onLine: (line: string) => void): void {
    this.splitter = new LineSplitter(onLine);
    this.timer = setInterval(() => void this.readOn().catch(() => {}), 250);
  }

  private readOn(): Promise<void> {
    this.reading = this.reading.then(async () => {
      const chunk = Buffer.allocUnsafe(256 * 1024);
      for (;;) {
        const { bytesRead } = await this.file.read(chunk, 0, chunk.length, this.position);
        if (bytesRead === 0) return;
        this.position += bytesRead;
        this.splitter?.write(chunk.subarray(0, bytesRead));
      }
    });
    return this.reading;
  }

  /** Passes the last lines on, when the process has ended. */
  async rest(): Promise<void> {
    clearInterval(this.timer);
    await this.readOn();
    this.splitter?.end();
  }

  /** in bytes, so far */
  async size(): Promise<number> {
    return (await this.file.stat()).size;
  }

  async whole(): Promise<string> {
    const size = await this.size();
    const content = Buffer.alloc(size);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await this.file.read(content, at, size - at, at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return content.toString("utf8");
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.reading.catch(() => {});
    await this.file.close();
  }
}
