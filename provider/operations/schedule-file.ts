import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { nearest } from "./nearest";
import { parseSchedule, ScheduleError } from "./schedule";

/**
 * Snapmanager's `snap_sched.yml`: which servers are snapshot when, and how many points stay. Both of its shapes are
 * read: a map from schedule to servers (`7@mon-fri@1,3: [web, db]`), and one from server to schedules. Source: the
 * script's own reading of the file, dthpulse/rbdsnapshots, and NetApp's `snap sched`, whose grammar it borrows.
 */

/** One copy set of one server, as the file names it. */
export interface ListedSet {
  /** Name or id. */
  server: string;
  copySet: CopySet;
  /** Line and column of the schedule in the file, both from 1. */
  line: number;
  column: number;
}

/** A copy set: the name of its snapshots, when they are due, and how many stay. */
export interface CopySet {
  /** "hourly", "daily", "weekly", "general", or what the author named it. */
  name: string;
  /** As written. */
  text: string;
  /** Cron with five fields. */
  schedule: string;
  /** How many points stay. 0 takes none, and lets go of none. */
  count: number;
  /** False for a count of 0 and for `-` in place of the days or hours: points are taken by a trigger only. */
  takesPoints: boolean;
}

/** What is wrong with a schedule file, where, and what to write instead. */
export class ScheduleFileError extends Error {
  override readonly name = "ScheduleFileError";
}

/** Of servers that no list names, where they are switched on: 06:15, 11:15, 15:15 and 19:15 on weekdays, the last 5 stay. */
export const generalSet: CopySet = {
  name: "general",
  text: "5@mon-fri@6,11,15,19",
  schedule: "15 6,11,15,19 * * mon-fri",
  count: 5,
  takesPoints: true,
};

/** The zone of the script's clock, which its file cannot name. */
export const snapmanagersZone = "Europe/Prague";

/** Minutes after the hour, so that a server's sets do not meet. */
const minutes = { hourly: 0, daily: 2, weekly: 4 } as const;

/**
 * Reads `count[@days][@hours]` as Snapmanager does, which derives the copy set's name: several hours on several days are
 * "hourly" (minute 0), one hour is "daily" (minute 2), one day is "weekly" (minute 4). `*` counts as one, so `7@*@2` is
 * "weekly" although it runs every day. Hours and days may be left out, as at NetApp: every day, and hour 0.
 *
 * @throws ScheduleError which names the part that is wrong
 */
export function parseCopySet(text: string, name?: string): CopySet {
  const [count = "", ...lists] = text
    .trim()
    .split("@")
    .map(part => part.trim());
  const { days, hours } = sorted(lists);
  const spelled = [count, days, hours].filter(part => part !== undefined && part !== "*" && part !== "-");
  const read = parseSchedule(spelled.map(part => everyHours(part ?? "")).join("@"));
  const several = (list: string) => /[,-]/.test(list);
  const derived = !several(days ?? "mon-sun") ? "weekly" : several(hours ?? "0") ? "hourly" : "daily";
  const [, ...fields] = read.pattern.split(" ");
  return {
    name: name ?? derived,
    text,
    schedule: [minutes[derived], ...(hours === "*" ? ["*", ...fields.slice(1)] : fields)].join(" "),
    count: read.count ?? 0,
    takesPoints: read.takesPoints && !lists.includes("-"),
  };
}

/** Which list names days and which hours: by what they hold, or by their place. */
function sorted(lists: readonly string[]): { days?: string; hours?: string } {
  const isOf = (list: string) => (/[a-z]/i.test(list) ? "days" : /\d/.test(list) ? "hours" : undefined);
  const [first, second] = lists;
  const hasHoursFirst = (first && isOf(first) === "hours") || (second && isOf(second) === "days");
  const [days, hours] = hasHoursFirst ? [second, first] : [first, second];
  return { ...(days !== undefined && { days }), ...(hours !== undefined && { hours }) };
}

// Cron's step, which the script hands on: */2 is every second hour.
function everyHours(list: string): string {
  const [, step] = /^\*\/(\d+)$/.exec(list) ?? [];
  if (!step || Number(step) === 0) return list;
  const hours = Array.from({ length: 24 }, (_, hour) => hour).filter(hour => hour % Number(step) === 0);
  return hours.join(",");
}

/** What a schedule looks like: a count, alone or with lists. */
const looksLikeSchedule = (text: string): boolean => /^\d+\s*(@|$)/.test(text);

/**
 * Reads a schedule file.
 *
 * @param file for messages, such as "snap_sched.yml"
 * @throws ScheduleFileError with line, column and the cure
 */
export function parseScheduleFile(text: string, file: string): ListedSet[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false });
  const fail = (offset: number, what: string): never => {
    const { line, col } = lines.linePos(offset);
    throw new ScheduleFileError(`${file}, line ${line}, column ${col}: ${what}`);
  };
  refuseLinesWithoutColon(text, file);
  const [broken] = document.errors;
  if (broken) fail(broken.pos[0], `this is no YAML: ${broken.message.split("\n")[0]}`);
  const { contents } = document;
  if (contents === null) return [];
  if (!isMap(contents))
    return fail(
      contents.range?.[0] ?? 0,
      "a map is expected, from schedule to servers: `7@mon-fri@1,3: [web, db]`",
    );

  const found: ListedSet[] = [];
  const add = (server: Node | string, schedule: Node) => {
    const start = schedule.range?.[0] ?? 0;
    const name = typeof server === "string" ? server : textOf(server, fail);
    try {
      const { line, col: column } = lines.linePos(start);
      found.push({ server: name, copySet: parseCopySet(textOf(schedule, fail)), line, column });
    } catch (error) {
      if (error instanceof ScheduleError) fail(start, error.message);
      throw error;
    }
  };
  for (const { key, value } of contents.items as { key: Node; value: Node | null }[]) {
    const name = textOf(key, fail);
    if (!value || (isScalar(value) && value.value === null))
      fail(
        key.range?.[0] ?? 0,
        `'${name}' has nothing after its colon; list what belongs to it: \`${name}: [web, db]\``,
      );
    const members = isSeq(value) ? (value.items as Node[]) : [value as Node];
    for (const member of members) {
      if (looksLikeSchedule(name)) add(member, key);
      else add(name, member);
    }
  }
  refuseTwice(found, file);
  return found;
}

/** YAML reads `7@mon-sun:14` as one word, and whatever follows as the rest of it. */
function refuseLinesWithoutColon(text: string, file: string): void {
  for (const [index, line] of text.split("\n").entries()) {
    const [, indent = "", word = ""] = /^(\s*)(?!-)(\S*@\S*)\s*(#.*)?$/.exec(line) ?? [];
    if (word === "" || /:$/.test(word) || !looksLikeSchedule(word)) continue;
    const cure = word.replace(/:/g, "@");
    throw new ScheduleFileError(
      `${file}, line ${index + 1}, column ${indent.length + 1}: no colon ends the schedule '${word}'; write \`${cure}:\``,
    );
  }
}

/** Sets of one name would write and remove each other's snapshots; the script let the later one win without a word. */
function refuseTwice(found: ListedSet[], file: string): void {
  const known = new Map<string, ListedSet>();
  for (const one of found) {
    const { server, copySet, line, column } = one;
    const key = `${server} ${copySet.name}`;
    const before = known.get(key);
    if (before)
      throw new ScheduleFileError(
        `${file}, line ${line}, column ${column}: '${copySet.text}' is a second copy set "${copySet.name}" of server ` +
          `'${server}', beside '${before.copySet.text}' of line ${before.line}; make them one, or name one in a SnapshotSchedule's \`sets\``,
      );
    known.set(key, one);
  }
}

function textOf(node: Node, fail: (offset: number, what: string) => never): string {
  if (isScalar(node)) return node.source ?? String(node.value);
  return fail(node.range?.[0] ?? 0, "a name or a schedule is expected here, found a list or a map");
}

/** What a server is known by. */
export interface ServerName {
  id: string;
  name: string;
}

/**
 * The servers that a name of the file stands for: by id, by name, or by what both names are up to their first `_`, where
 * Snapmanager cuts them. Throws where there is none, or more than one.
 */
export function serverNamed<S extends ServerName>(named: string, servers: readonly S[]): S {
  const cut = (name: string) => name.split("_")[0] ?? name;
  return oneOf(named, servers, [server => cut(server.name) === cut(named)]);
}

/** The server with that id or name. Throws where there is none, or two of that name. */
export const serverCalled = <S extends ServerName>(named: string, servers: readonly S[]): S =>
  oneOf(named, servers, []);

function oneOf<S extends ServerName>(
  named: string,
  servers: readonly S[],
  further: ((server: S) => boolean)[],
): S {
  const steps = [(server: S) => server.id === named, (server: S) => server.name === named, ...further];
  for (const matches of steps) {
    const [found, another] = servers.filter(matches);
    if (found && another)
      throw new Error(`two servers are called '${named}', ${found.id} and ${another.id}; give the id of one`);
    if (found) return found;
  }
  const hint = nearest(
    named,
    servers.map(({ name }) => name),
  );
  throw new Error(`there is no server '${named}'${hint}; see \`openstack server list\``);
}
