import { play } from "./play";
import { Scenario } from "./scenario";
import { serveCases } from "./serve-cases";

/**
 * Plays cases on devcloud in a folder of its own, the first argument, with the provider of the package in the second; on
 * the real CLI where the third is "pulumi".
 */
void serveCases(async () => {
  const [root = "", packageDirectory = "", engine] = process.argv.slice(2);
  const scenario = await Scenario.make(root, { packageDirectory, realCli: engine === "pulumi" });
  return { scenario, play: (one, pictures) => play(scenario, one, pictures), mostSeconds: 150 };
});
