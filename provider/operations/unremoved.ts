import type { Session } from "../openstack";

/** What this run could not remove of the Cinder points of sets that wait for their copy, in words by owner. */
class Unremoved extends Map<string, string> {
  constructor(_session: Session) {
    super();
  }
}

export const unremovedOf = (session: Session): Map<string, string> => session.companions.of(Unremoved);
