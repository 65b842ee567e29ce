import type { Session } from "../openstack";
import { localMover } from "./local/local-mover";
import type { BackupRun, Mover, MoverOptions, RestoreRun } from "./mover";
import { ownServer, serverMover } from "./server/server-mover";

/** The server mover where this machine is a server of the project, the local one elsewhere. */
export function autoMover(options: MoverOptions | undefined): Mover {
  const chosen = async (run: BackupRun | RestoreRun): Promise<Mover> => {
    const { mover, why } = await choiceOf(run.session, options);
    run.log(why);
    return mover;
  };
  return {
    synchronize: async run => (await chosen(run)).synchronize(run),
    restore: async run => (await chosen(run)).restore(run),
    // both leave the same notes beside the mount path
    cleanup: run => localMover.cleanup(run),
  };
}

/** What `auto` comes to, in words for people. */
export function choiceOf(
  session: Session,
  options: MoverOptions | undefined,
): Promise<{ mover: Mover; why: string }> {
  return ownServer(session, options).then(
    id => ({ mover: serverMover(options), why: `mover 'server': this is server ${id}` }),
    (error: Error) => ({ mover: localMover, why: `mover 'local': ${error.message}` }),
  );
}
