/** Sections and keys of a configuration file; undefined values are left out. */
export type Ini = Record<string, Record<string, string | number | boolean | undefined>>;

/** The text of an INI file as OpenStack's and Ceph's parsers read it. */
export function formatIni(sections: Ini): string {
  return Object.entries(sections)
    .map(([name, values]) => {
      const lines = Object.entries(values).filter(([, value]) => value !== undefined);
      return [`[${name}]`, ...lines.map(([key, value]) => `${key} = ${value}`), ""].join("\n");
    })
    .join("\n");
}
