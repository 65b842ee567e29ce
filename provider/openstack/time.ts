/** An OpenStack time as a Date: Cinder writes UTC without a zone ("2026-11-22T02:13:35.000000"), Keystone and Glance with "Z". */
export function parseTime(text: string): Date {
  const time = new Date(/(?:Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`);
  if (Number.isNaN(time.getTime())) throw new RangeError(`not a time: ${JSON.stringify(text)}`);
  return time;
}
