import { randomUUID } from "node:crypto";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResticError } from "./errors";
import { LineSplitter } from "./messages";

/** A file without a name that a process writes to and this one reads, while and after it does. */
export class OutputFile {
  private position = 0;
  private splitter: LineSplitter | undefined;
  private timer: NodeJS.Timeout | undefined;
  private reading: Promise<void> = Promise.resolve();

  private constructor(private readonly file: FileHandle) {}

  static async open(): Promise<OutputFile> {
    const path = join(tmpdir(), `osbackup-output-${randomUUID()}`);
    try {
      const file = await open(path, "ax+", 0o600);
      await unlink(path);
      return new OutputFile(file);
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
