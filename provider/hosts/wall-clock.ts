/** "2026-11-27 13:30": an instant as clocks in that zone show it. */
export function inZone(time: Date, timeZone: string): string {
  return new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "short" }).format(time);
}

/** "2026-11-27 13:30 Europe/Prague (12:30 UTC)": an instant, ISO 8601, as the clock on the wall here shows it. */
export function localTime(text: string): string {
  const time = new Date(text);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${inZone(time, zone)} ${zone}${zone === "UTC" ? "" : ` (${inZone(time, "UTC")} UTC)`}`;
}
