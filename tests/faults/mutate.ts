import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { allCases, titleOf } from "./cases";
import { type Mutation, mutations } from "./mutations";
import type { Pictures } from "./play";
import { playAll } from "./pool";
import { repositoryRoot } from "./scenario";

/** What the matrix says of a provider with the defect; undefined where it sees nothing wrong. */
async function seen(mutation: Mutation, expected: Pictures): Promise<string | undefined> {
  const directory = mkdtempSync(path.join(tmpdir(), "osbackup-mutation-"));
  try {
    copyPackage(directory);
    const file = path.join(directory, "dist/provider", mutation.file);
    const text = readFileSync(file, "utf8");
    if (text.split(mutation.find).length !== 2)
      throw new Error(`"${mutation.does}" fits no more: ${mutation.file} has not once ${mutation.find}`);
    writeFileSync(
      file,
      text.replace(mutation.find, () => mutation.replace),
    );
    let chosen = 0;
    const choose = (calls: Parameters<typeof allCases>[0]) => {
      const cases = allCases(calls).filter(one => mutation.shownBy.test(titleOf(one)));
      chosen = cases.length;
      return cases;
    };
    const played = await playAll(choose, { workers: 1, packageDirectory: directory, expected });
    if (chosen === 0) throw new Error(`"${mutation.does}": no case is called like ${mutation.shownBy}`);
    const failed = played.find(({ problems }) => problems.length > 0);
    return failed && `${titleOf(failed.one)}: ${failed.problems[0]}`;
  } catch (error) {
    const { message } = error as Error;
    // the undisturbed run ends badly, or in another state
    if (/without a fault/.test(message)) return /[^\n]*without a fault[^\n]*/.exec(message)?.[0];
    throw error;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The package as it is built, with the dependencies of this one. */
function copyPackage(directory: string): void {
  for (const name of ["package.json", "dist"])
    cpSync(path.join(repositoryRoot, name), path.join(directory, name), { recursive: true });
  const modules = path.join(directory, "node_modules");
  mkdirSync(modules);
  for (const name of readdirSync(path.join(repositoryRoot, "node_modules")))
    if (name !== "pulumi-openstack-backup")
      symlinkSync(path.join(repositoryRoot, "node_modules", name), path.join(modules, name));
  symlinkSync("..", path.join(modules, "pulumi-openstack-backup"));
}

/** Breaks the provider in each way, and tells which the matrix did not see. */
export async function tryMutations(
  pattern: RegExp | undefined,
  say: (line: string) => void,
): Promise<{ caught: number; missed: string[] }> {
  let expected: Pictures | undefined;
  await playAll(() => [], {
    workers: 1,
    onReady: pictures => {
      expected = pictures;
    },
  });
  if (!expected) throw new Error("the undisturbed run has left nothing to compare with");
  const pictures = expected;
  const missed: string[] = [];
  const queue = mutations.filter(({ does }) => !pattern || pattern.test(does));
  const count = queue.length;
  const work = async () => {
    for (let mutation = queue.shift(); mutation; mutation = queue.shift()) {
      const said = await seen(mutation, pictures);
      say(
        `${said === undefined ? "MISSED" : "caught"}: ${mutation.does}${said === undefined ? "" : ` (${said.split("\n")[0]?.slice(0, 160)})`}`,
      );
      if (said === undefined) missed.push(mutation.does);
    }
  };
  await Promise.all([work(), work(), work()]);
  return { caught: count - missed.length, missed };
}
