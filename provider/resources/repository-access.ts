import { z } from "zod";
import { unreachable } from "../movers/kubernetes/kubernetes-mover";
import type { MoverOptions } from "../movers/mover";
import type { MoverName } from "../movers/registry";
import { locate, type RepositoryAccess } from "../restic";
import type { Context, Refusal } from "./resource";

/** How to reach a restic repository. Secrets go to restic by environment, never by arguments. */
export const repositoryAccess = z.strictObject({
  url: z
    .string()
    .min(1)
    .describe(
      "As restic spells it, a folder by its whole path: `/srv/restic`, `s3:https://host/bucket/path`, `rest:https://host/`, `sftp:…`, `swift:…`.",
    )
    .meta({ address: true }),
  password: z
    .string()
    .min(1)
    .describe("The repository's password, of 8 characters or more.")
    .meta({ secret: true })
    .optional(),
  passwordFile: z.string().describe("A file with the password, on the machine that runs restic.").optional(),
  passwordCommand: z.string().describe("A command that prints the password.").optional(),
  environment: z
    .record(z.string(), z.string())
    .describe("Keys of the repository's store, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    .meta({ secret: true })
    .optional(),
  caCertFile: z
    .string()
    .describe("CA certificate of the store's TLS, PEM, on the machine that runs restic.")
    .optional(),
});

/** A url that is a repository's, and exactly one way to the password; a message names the property otherwise. */
export function accessRules(access: Partial<z.output<typeof repositoryAccess>>, prefix: string): Refusal[] {
  const found = access.url === undefined ? "" : locate(access.url);
  return [
    ...(typeof found === "string" && found !== "" ? [{ property: `${prefix}url`, reason: found }] : []),
    ...passwordRules(access, prefix),
  ];
}

/** Why the bytes cannot be moved, asked before anything is made. */
export async function moverRefusals(
  given: { mover?: MoverName | undefined; moverOptions?: MoverOptions | undefined },
  context: Context,
): Promise<Refusal[]> {
  const reason = await context.mover(given).obstacle?.();
  return reason === undefined ? [] : [{ property: "mover", reason: `'${given.mover}': ${reason}` }];
}

/** What is wrong with a repository for those who move the bytes. */
export function moverRules(given: {
  mover?: MoverName | undefined;
  repository?: Partial<z.output<typeof repositoryAccess>> | undefined;
}): Refusal[] {
  const found = given.repository?.url === undefined ? undefined : locate(given.repository.url);
  if (given.mover !== "kubernetes" || found === undefined || typeof found === "string") return [];
  const reason = unreachable(found.localPath);
  return reason === undefined ? [] : [{ property: "repository.url", reason }];
}

function passwordRules(access: Partial<z.output<typeof repositoryAccess>>, prefix: string): Refusal[] {
  const ways = (["password", "passwordFile", "passwordCommand"] as const).filter(
    key => access[key] !== undefined,
  );
  if (ways.length === 1) return [];
  return [
    {
      property: `${prefix}password`,
      reason:
        ways.length === 0
          ? "a repository needs one of password, passwordFile and passwordCommand"
          : `give one of ${ways.join(" and ")}, not both`,
    },
  ];
}

/** Without the keys that are absent, as restic's layer takes it. */
export function accessOf(given: z.output<typeof repositoryAccess>): RepositoryAccess {
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as unknown as RepositoryAccess;
}
