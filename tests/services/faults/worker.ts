import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { cloudUnderTest } from "../../contract/clouds";
import { titleOf } from "../../faults/cases";
import { ownObjects, processes } from "../../faults/picture";
import { playHere } from "../../faults/play";
import { Scenario, unmount } from "../../faults/scenario";
import { serveCases } from "../../faults/serve-cases";
import type { Openstack } from "..";
import { PlayedRbd } from "./played-rbd";

/**
 * Plays walks on a real cloud in a folder of its own, the first argument, in a project of its own: `demo`, or `other`, the
 * third argument. The second is a file with what `openstack` has told.
 */
void serveCases(async () => {
  const [root = "", file = "", project] = process.argv.slice(2);
  const services = JSON.parse(readFileSync(file, "utf8")) as Openstack;
  if (project === "other") services.environment = services.otherEnvironment;
  const cloud = await cloudUnderTest("rbd", services);
  const passwords = [services.environment, services.adminEnvironment, services.otherEnvironment].map(
    ({ OS_PASSWORD = "" }) => OS_PASSWORD,
  );
  const directory = path.join(root, "cloud");
  mkdirSync(directory, { recursive: true });
  const played = new PlayedRbd(cloud, directory, passwords);
  const scenario = await Scenario.make(root, { startCloud: async () => played });

  /** As it was before the first stage. */
  const beginAgain = async () => {
    for (const line of processes(root)) process.kill(Number(/^process (\d+)/.exec(line)?.[1]), "SIGKILL");
    unmount(root);
    played.clearFaults();
    await played.idle();
    await played.removeOwn(await ownObjects(scenario));
    await scenario.load("first");
  };

  return {
    scenario,
    mostSeconds: 300,
    async play(one, pictures) {
      const problems = await playHere(scenario, one, pictures).catch((error: Error) => [
        `${titleOf(one)} could not be played: ${error.stack}`,
      ]);
      if (problems.length > 0) await beginAgain();
      return problems;
    },
  };
});
