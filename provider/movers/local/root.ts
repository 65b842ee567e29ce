import { statSync } from "node:fs";
import { chmod, chown, lutimes } from "node:fs/promises";
import { findTool, remedyFor, run } from "./commands";

/**
 * restic keeps what is below the folder that it runs in, not the folder itself. A database refuses to start on a root
 * that is not its own, and a root without its ACL lets in who was kept out; so all of it stands in the snapshot's tags:
 * `root=<mode, octal>:<user>:<group>`, `root-mtime=<seconds>` and `root-xattrs=<base64url of getfattr's dump>`, in which
 * ACLs are `system.posix_acl_access` and `…_default`.
 */
export async function rootTags(
  directory: string,
  { log, signal }: { log: (line: string) => void; signal?: AbortSignal | undefined },
): Promise<string[]> {
  const { mode, uid, gid, mtimeMs } = statSync(directory);
  const tags = [
    `root=${(mode & 0o7777).toString(8)}:${uid}:${gid}`,
    `root-mtime=${(mtimeMs / 1000).toFixed(3)}`,
  ];
  if (!findTool("getfattr")) {
    log(
      `warning: ACL and attributes of the volume's root are not kept: getfattr is missing, ${remedyFor("getfattr")}`,
    );
    return tags;
  }
  const { stdout } = await run(
    "getfattr",
    ["--dump", "--match=-", "--encoding=base64", "--absolute-names", directory],
    { doing: `reading the attributes of ${directory}`, signal },
  );
  const dumped = stdout.split("\n").filter(line => attributeLine.test(line));
  const text = Buffer.from(dumped.join("\n")).toString("base64url");
  if (text.length > mostTagBytes)
    log(
      `warning: ${dumped.length} attributes of the volume's root are not kept: together they are larger than ${mostTagBytes} bytes`,
    );
  else if (text !== "") tags.push(`root-xattrs=${text}`);
  return tags;
}

const attributeLine = /^([a-z]+\.[^=\s]+)=(0s[A-Za-z0-9+/=]*)$/;

/** Tags are arguments of restic, and stand in every listing. */
const mostTagBytes = 8192;

/** Gives a restored volume's root folder what the tags say; without them it stays as it was made. */
export async function restoreRoot(
  directory: string,
  tags: readonly string[],
  { log, signal }: { log: (line: string) => void; signal?: AbortSignal | undefined },
): Promise<void> {
  const value = (key: string) => tags.find(tag => tag.startsWith(`${key}=`))?.slice(key.length + 1);
  const [, mode = "", uid, gid] = /^([0-7]{1,4}):(\d+):(\d+)$/.exec(value("root") ?? "") ?? [];
  if (uid !== undefined) {
    // first the owner: a change of it takes setuid and setgid bits away
    await chown(directory, Number(uid), Number(gid));
    await chmod(directory, Number.parseInt(mode, 8));
  }
  const dumped = Buffer.from(value("root-xattrs") ?? "", "base64url")
    .toString()
    .split("\n");
  for (const line of dumped) {
    const [, name, encoded] = attributeLine.exec(line) ?? [];
    if (name === undefined || encoded === undefined) continue;
    await run("setfattr", ["--name", name, "--value", encoded, directory], {
      doing: `setting ${name} of ${directory}`,
      signal,
    }).catch((error: Error) => log(`warning: an attribute of the volume's root is lost: ${error.message}`));
  }
  const modified = Number(value("root-mtime"));
  if (modified > 0) await lutimes(directory, modified, modified);
}
