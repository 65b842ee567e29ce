/** Where a run's signals go; each is on when it is given. */
export interface SignalSettings {
  /** A dead-man switch's address, as healthchecks.io and its like take it; `{set}` stands for the set. */
  pingUrl?: string;
  /** Gets a JSON with `text`, as Slack, Mattermost and others take it, when a set fails. */
  webhookUrl?: string;
  /** Where node_exporter's textfile collector reads. */
  metricsDirectory?: string;
}

/** The Pulumi configuration keys of the signals. */
export const signalKeys = ["pingUrl", "webhookUrl", "metricsDirectory"] as const;

/** The full name of a key. */
export const configKey = (key: (typeof signalKeys)[number]): string => `openstackbackup:${key}`;

/** The settings in a configuration. */
export function signalSettings(config: Readonly<Record<string, string>>): SignalSettings {
  return Object.fromEntries(
    signalKeys.flatMap(key => (config[configKey(key)] ? [[key, config[configKey(key)]]] : [])),
  );
}

/** What is wrong with the settings, by their keys; an address is not shown, for it is a key in itself. */
export function refusedSettings(settings: SignalSettings): { property: string; reason: string }[] {
  const refusals: { property: string; reason: string }[] = [];
  const refuse = (key: (typeof signalKeys)[number], reason: string) =>
    refusals.push({ property: configKey(key), reason });
  for (const key of ["pingUrl", "webhookUrl"] as const)
    if (settings[key] !== undefined && !/^https?:$/.test(protocolOf(settings[key])))
      refuse(key, "is no http:// or https:// address");
  if (settings.pingUrl !== undefined && !settings.pingUrl.includes("{set}"))
    refuse(
      "pingUrl",
      "needs {set} in its path: with one check for all, the success of one set would hide the failure of another",
    );
  if (settings.metricsDirectory !== undefined && !settings.metricsDirectory.startsWith("/"))
    refuse("metricsDirectory", `is no whole path: '${settings.metricsDirectory}'`);
  return refusals;
}

const protocolOf = (url: string): string => (URL.canParse(url) ? new URL(url).protocol : "");
