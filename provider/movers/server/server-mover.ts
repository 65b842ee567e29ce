import { type Session, servers, undefinedIfNotFound } from "../../openstack";
import { readingMover } from "../local/reading-mover";
import type { Mover, MoverOptions } from "../mover";
import { attachToServer } from "./attach-to-server";
import { ownServerId } from "./own-server";

/** A backup of a volume must not wait longer for its turn on a server than its own deadline may be. */
const attachTimeoutSeconds = 1_800;

/** Nova attaches the volume to the server that the stack runs on, which reads it as a disk of its own. */
export const serverMover = (options: MoverOptions | undefined): Mover =>
  readingMover(async ({ session, volumeId, log, signal }) =>
    attachToServer(session, await ownServer(session, options).catch(asMovers), volumeId, {
      timeoutSeconds: attachTimeoutSeconds,
      maxAttached: options?.maxAttached,
      log,
      signal,
    }),
  );

function asMovers(error: Error): never {
  throw new Error(`mover 'server': ${error.message}`, { cause: error });
}

/** Asked once a session: what this machine says of itself, and whether the project has that server. */
class Own {
  told: Promise<string> | undefined;
  found: Promise<string> | undefined;
}

/**
 * The server that this machine is, as given or as it says itself.
 *
 * @throws where nothing says it, or where the session's project has no such server
 */
export async function ownServer(session: Session, options: MoverOptions | undefined): Promise<string> {
  if (options?.serverId !== undefined) return options.serverId;
  const own = session.companions.of(Own);
  // also that nothing says it: to ask takes seconds, and every set would
  own.told ??= ownServerId(undefined, "moverOptions.serverId");
  const id = await own.told;
  own.found ??= (async () => {
    if (await servers.get(session, id).catch(undefinedIfNotFound)) return id;
    throw new Error(
      `this machine says that it is server ${id}, which project ${await session.projectId()} does not have; run the stack on a server of the project, or give moverOptions.serverId`,
    );
  })();
  own.found.catch(() => (own.found = undefined));
  return own.found;
}
