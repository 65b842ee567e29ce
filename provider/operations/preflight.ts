import type { Session } from "../openstack";

/** A clock that is off by more makes slots come early or late, and breaks signed requests of S3 at 15 minutes. */
const mostSkewSeconds = 60;

/** A login that cannot be renewed should outlive what is done with it. */
const leastLifeSeconds = 3 * 3600;

/** What is known of a login before anything is made with it. */
class Preflight {
  #asked = false;

  constructor(private readonly session: Session) {}

  /** What may go wrong for all sets of a run; told once. */
  async warnings(): Promise<string[]> {
    if (this.#asked) return [];
    this.#asked = true;
    const { roles, livesSeconds, canRenew, aheadSeconds } = await this.session.loginFacts();
    const warnings: string[] = [];
    const skew = Math.round(Math.abs(aheadSeconds));
    if (skew > mostSkewSeconds)
      warnings.push(
        `this machine's clock is ${skew} s ${aheadSeconds > 0 ? "ahead of" : "behind"} the cloud's: slots come ${aheadSeconds > 0 ? "early" : "late"}, and stores may refuse requests`,
      );
    if (!canRenew && livesSeconds < leastLifeSeconds)
      warnings.push(
        `the login is a token that ends in ${Math.round(livesSeconds / 60)} minutes and cannot be renewed: longer backups fail; log in by an application credential`,
      );
    if (roles.length > 0 && roles.every(role => role === "reader"))
      warnings.push("the login has the role reader alone, which makes and removes nothing: give it member");
    return warnings;
  }
}

export const preflightOf = (session: Session): Preflight => session.companions.of(Preflight);
