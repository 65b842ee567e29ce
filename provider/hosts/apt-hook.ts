import { writeFile } from "node:fs/promises";
import path from "node:path";

/** How the hook is written. */
export interface AptHookOptions {
  /** Default where apt reads its settings. */
  file: string;
  type: string;
  rotation: number;
  /** A failed backup stops apt. Default: it says so and goes on. */
  strict?: boolean;
  /** A file of `export OS_…=…` lines, read before the backup. */
  openrc?: string;
  cloud?: string;
}

/**
 * Writes the setting by which apt has an image taken before it changes packages.
 * Source: https://manpages.debian.org/apt.conf, DPkg::Pre-Invoke
 */
export async function installAptHook(options: AptHookOptions): Promise<void> {
  await writeFile(options.file, aptHook(options), { mode: 0o644 });
  console.log(
    `wrote ${options.file}: before apt changes packages it runs \`${commandOf(options)}\`${options.strict ? ", and stops where that fails" : ""}`,
  );
}

/** The setting, with what it runs by full path: apt's hooks have a bare PATH. */
export function aptHook(options: AptHookOptions): string {
  const command = commandOf(options);
  // in a subshell: a shell ends where the file that it is to read is missing
  const line = options.strict ? command : `(${command}) || true`;
  if (/["\n\\]/.test(line))
    throw new Error(`apt's settings cannot hold this command, its paths have a quote or backslash: ${line}`);
  return `// an image of this server before each change of its packages; written by osbackup install-apt-hook\nDPkg::Pre-Invoke { "${line}"; };\n`;
}

function commandOf({ type, rotation, openrc, cloud }: AptHookOptions): string {
  const program = [process.execPath, path.join(__dirname, "cli.js")].map(quoted).join(" ");
  const login = openrc === undefined ? "" : `. ${quoted(path.resolve(openrc))} && `;
  const place = cloud === undefined ? "" : ` --cloud ${quoted(cloud)}`;
  return `${login}${program} server-backup ${quoted(type)} ${rotation}${place}`;
}

/** As the shell takes it: as it is where nothing in it is special to it. */
const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
