import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ModuleKind, ScriptTarget, transpileModule } from "typescript";
import { onPath } from "../needs";

/**
 * mocha loads this before any test. Each repository that a test makes in a folder gets a key that costs no time
 * (`quick-repository.ts`): a `restic` at the front of PATH is the real one for every command, and after an `init` of a
 * folder seals its key anew. `OSBACKUP_SLOW_KEYS=1` leaves all as restic makes it.
 */
const restic = onPath("restic");
// the workers of a parallel run have it from their parent
const isThere = process.env.OSBACKUP_QUICK_RESTIC !== undefined;

if (restic !== undefined && !isThere && process.env.OSBACKUP_SLOW_KEYS === undefined) {
  const directory = mkdtempSync(path.join(tmpdir(), "osbackup-quick-restic-"));
  chmodSync(directory, 0o755); // some tests call restic as another user
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const compilerOptions = { module: ModuleKind.CommonJS, target: ScriptTarget.ES2022, esModuleInterop: true };
  for (const name of ["quick-repository", "init"]) {
    const text = readFileSync(path.join(__dirname, `${name}.ts`), "utf8");
    writeFileSync(path.join(directory, `${name}.js`), transpileModule(text, { compilerOptions }).outputText);
  }
  const script = `#!/bin/sh
case " $* " in *' init '*) exec '${process.execPath}' '${directory}/init.js' '${restic}' "$@";; esac
exec '${restic}' "$@"
`;
  writeFileSync(path.join(directory, "restic"), script, { mode: 0o755 });
  process.env.OSBACKUP_QUICK_RESTIC = directory;
  process.env.PATH = `${directory}:${process.env.PATH}`;
}
