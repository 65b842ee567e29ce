import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

/** A program that notes its command and becomes restic, first in PATH until `restore`. */
export class RecordedRestic {
  private readonly calls: string;
  private readonly before = process.env.PATH;

  constructor(private readonly directory: string) {
    const real = execFileSync("sh", ["-c", "command -v restic"], { encoding: "utf8" }).trim();
    this.calls = path.join(directory, "calls");
    const bin = path.join(directory, "bin");
    mkdirSync(bin);
    const script = `#!/bin/sh
real=${real}
[ "$1" = version ] || echo "$1" >>'${this.calls}'
[ -e '${directory}/instead-of-'"$1" ] && . '${directory}/instead-of-'"$1"
exec $real "$@"
`;
    writeFileSync(path.join(bin, "restic"), script, { mode: 0o755 });
    process.env.PATH = `${bin}:${this.before}`;
  }

  /** From now on the command runs this piece of shell instead; $real is restic. */
  instead(command: string, script: string): void {
    writeFileSync(path.join(this.directory, `instead-of-${command}`), script);
  }

  /** From now on the command is restic's own again. */
  again(command: string): void {
    rmSync(path.join(this.directory, `instead-of-${command}`));
  }

  /** The commands since the last call of this, without those that ask for the version. */
  commands(): string[] {
    if (!existsSync(this.calls)) return [];
    const words = readFileSync(this.calls, "utf8").trim().split("\n");
    rmSync(this.calls);
    return words;
  }

  restore(): void {
    process.env.PATH = this.before;
  }
}
