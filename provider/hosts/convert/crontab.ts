import { describeSchedule, parseSchedule } from "../../operations/schedule";
import { type Converted, type Source, serverProgram } from "./source";

/** A line by which cron calls the nova backup script. */
interface CronLine {
  line: number;
  schedule: string;
  type: string;
  rotation: number;
}

/** cron's words for a schedule. */
const keywords: Readonly<Record<string, string>> = {
  "@hourly": "0 * * * *",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@weekly": "0 0 * * 0",
  "@monthly": "0 0 1 * *",
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
};

const field = "[\\d*/,\\-A-Za-z]+";
const cronLine = new RegExp(`^\\s*((?:${field}\\s+){4}${field}|@[a-z]+)\\s+(\\S.*)$`);
/** The script under its own name or another of the kind, then its words: a type and how many images stay. */
const scriptCall =
  /(?:^|[\s/])[\w.-]*(?:backup|snapshot)[\w.-]*(?:\.sh)?((?:\s+[\w-]+){0,2})\s*(?:[>|;&#].*)?$/i;
const zoneLine = /^\s*(?:CRON_)?TZ\s*=\s*["']?([\w+/-]+)["']?\s*$/;

/** The calls of the script in a crontab. The script's defaults are `manual` and 7. */
function crontabLines(text: string): CronLine[] {
  return text.split("\n").flatMap((content, index) => {
    const [, schedule = "", command = ""] = cronLine.exec(content) ?? [];
    const [, words] = scriptCall.exec(command) ?? [];
    const cron = keywords[schedule] ?? (schedule.startsWith("@") ? undefined : schedule.replace(/\s+/g, " "));
    if (words === undefined || cron === undefined) return [];
    const [type = "manual", rotation = "7"] = words.trim() === "" ? [] : words.trim().split(/\s+/);
    return [{ line: index + 1, schedule: cron, type, rotation: Number(rotation) }];
  });
}

/** Whether a text is a crontab. */
export const isCrontab = (text: string): boolean => text.split("\n").some(line => cronLine.test(line));

/** The program that stands for the script's crontab lines. */
export function fromCrontab({ text, name }: Source): Converted {
  const lines = crontabLines(text);
  if (lines.length === 0)
    throw new Error(`${name}: no line calls a script whose name has "backup" or "snapshot" in it`);
  const at = ({ line }: CronLine) => `${name}, line ${line}`;
  const zones = text.split("\n").flatMap(line => zoneLine.exec(line)?.[1] ?? []);
  const timeZone = zones[0] ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  const seen = new Map<string, CronLine>();
  for (const one of lines) {
    if (!Number.isInteger(one.rotation) || one.rotation < 1)
      throw new Error(`${at(one)}: the rotation of '${one.type}' must be a whole number from 1 on`);
    const twice = seen.get(one.type);
    if (twice)
      throw new Error(
        `${at(one)}: type '${one.type}' is in line ${twice.line} too, and has one schedule here; join the two, or give one another type`,
      );
    try {
      parseSchedule(one.schedule, { timeZone, seed: "" });
    } catch (error) {
      throw new Error(`${at(one)}: ${(error as Error).message}`);
    }
    seen.set(one.type, one);
  }
  const others = text
    .split("\n")
    .flatMap((content, index) => (cronLine.test(content) ? [index + 1] : []))
    .filter(line => !lines.some(one => one.line === line));
  return {
    program: programOf(lines, timeZone),
    notes: [
      ...lines.map(
        ({ type, schedule, rotation }) =>
          `  ${type}: ${describeSchedule(parseSchedule(schedule, { timeZone, seed: "" }))}, keeping the last ${rotation}`,
      ),
      ...(others.length > 0 ? [`left out, no call of the script: line ${others.join(", ")}`] : []),
      ...(zones.length === 0
        ? [`cron runs by the clock of its machine: ${timeZone} is that of this one`]
        : []),
      "Images of the script are taken over (adoptImages) and go in their turn; take its lines out of the crontab first.",
    ],
    config: { server: { what: "name or id of the server that the script ran for" } },
  };
}

const programOf = (lines: readonly CronLine[], timeZone: string): string =>
  serverProgram(`new ServerBackupPlan("server", {
  serverId: server.id,
  serverName: server.name,
  timeZone: ${JSON.stringify(timeZone)},
  backups: {
${lines.map(({ type, schedule, rotation }) => `    ${JSON.stringify(type)}: { schedule: ${JSON.stringify(schedule)}, rotation: ${rotation} },`).join("\n")}
  },
  adoptImages: true, // those of the script count, and go in their turn
})`);
