import { typeToken } from "../binding";
import type { Examinable } from "./recovery-points";

/** A repository's url taken apart, as far as a policy asks. */
export interface RepositoryUrl {
  /** The property that has it. */
  property: string;
  /** As policies name it: "local", "s3:https", "rest:http", "sftp", "swift", … */
  scheme: string;
  /** "" where the url names none: a folder, or a store whose host is in the environment. */
  host: string;
  /** Bucket or container; "" where there is none. */
  bucket: string;
  /** It holds a password. */
  hasPassword: boolean;
  /** Without user and password, for messages. */
  shown: string;
}

/** The repositories that a resource writes to or reads from, with the environment of each. */
export function repositoriesIn(
  args: Pick<Examinable, "type" | "props">,
): { url: RepositoryUrl; environment: Record<string, unknown> | undefined }[] {
  const { props } = args;
  const places: [property: string, access: Record<string, unknown> | undefined][] =
    args.type === typeToken("ResticRepository")
      ? [
          ["url", props],
          ["copyTo.url", props.copyTo],
        ]
      : ["ResticBackup", "VolumeRestore"].some(type => args.type === typeToken(type))
        ? [["repository.url", props.repository]]
        : [];
  return places.flatMap(([property, access]) => {
    const url: unknown = access?.url;
    return typeof url === "string"
      ? [
          {
            url: readRepositoryUrl(url, property),
            environment: access?.environment as Record<string, unknown>,
          },
        ]
      : [];
  });
}

/** Takes a url apart as restic does. What is no url of restic is the provider's to refuse. */
export function readRepositoryUrl(url: string, property = "url"): RepositoryUrl {
  const local = { property, scheme: "local", host: "", bucket: "", hasPassword: false, shown: url };
  if (url.startsWith("/") || url.startsWith("local:")) return local;
  const [, kind = "", rest = ""] = /^([a-z0-9]+):(.*)$/s.exec(url) ?? [];
  if (kind === "s3" || kind === "rest") {
    const whole = /^https?:\/\//.test(rest) ? rest : `https://${rest}`;
    const read = URL.canParse(whole) ? new URL(whole) : undefined;
    const protocol = read?.protocol.slice(0, -1) ?? "https";
    return {
      property,
      scheme: `${kind}:${protocol}`,
      host: read?.hostname ?? "",
      bucket: kind === "s3" ? (read?.pathname.split("/")[1] ?? "") : "",
      hasPassword: (read?.password ?? "") !== "",
      shown: read ? `${kind}:${protocol}://${read.host}${read.pathname}` : `${kind}:…`,
    };
  }
  if (kind === "sftp") {
    const [, host = ""] = /^(?:\/\/)?(?:[^@/]*@)?(\[[^\]]*\]|[^:/]*)/.exec(rest) ?? [];
    return { ...local, scheme: kind, host, shown: url.replace(/[^@/:]*@/, "") };
  }
  return { ...local, scheme: kind, bucket: rest.split(":")[0] ?? "" };
}
