import { wholeSeconds } from "../cloud";
import { type Call, isAdmin } from "./call";
import { badRequest, notFound } from "./errors";
import { saysNo, saysYes } from "./schema";

const maximumPage = 1000;
const reserved = new Set([
  "limit",
  "marker",
  "offset",
  "sort",
  "sort_key",
  "sort_dir",
  "with_count",
  "all_tenants",
  "project_id",
  "is_public",
]);

interface Row {
  id: string;
  project_id: string;
  created_at: string;
}

/** What a collection can be filtered by, and how it is named in answers. */
export interface Collection<R extends Row> {
  /** "snapshots": the property that holds the rows; links are below `<name>_links`. */
  name: string;
  /** "Snapshot": for the 404 of an unknown marker. */
  kind: string;
  rows: Iterable<R>;
  filters: readonly string[];
  /** The microversion that the metadata filter needs. */
  metadataFilterSince?: number;
  view: (call: Call, row: R) => Record<string, unknown>;
}

/** Answers one page of a collection: filtered, sorted, with links and on demand with the count of all pages. */
export function listPage<R extends Row>(call: Call, collection: Collection<R>): Record<string, unknown> {
  const limit = numberParameter(call.query, "limit") ?? maximumPage;
  const offset = numberParameter(call.query, "offset") ?? 0;
  const compare = comparator<R>(call.query);
  const matches = filter(call, collection);
  const known = [...collection.rows].filter(row => isListed(call, row));
  const rows = known.filter(matches).sort(compare);

  let rest = rows;
  const marker = call.query.get("marker");
  if (marker !== null) {
    const last = known.find(row => row.id === marker);
    if (!last) throw notFound(`${collection.kind} ${marker} could not be found.`);
    rest = rows.filter(row => compare(last, row) < 0);
  }
  const pageSize = Math.min(limit, maximumPage);
  const page = rest.slice(offset, offset + pageSize);
  const answer: Record<string, unknown> = { [collection.name]: page.map(row => collection.view(call, row)) };
  const lastOfPage = page.at(-1);
  if (lastOfPage && page.length === pageSize) {
    const query = new URLSearchParams([...call.query].filter(([key]) => key !== "marker"));
    query.append("marker", lastOfPage.id);
    answer[`${collection.name}_links`] = [{ rel: "next", href: `${call.url}?${query}` }];
  }
  if (call.minor >= 45 && saysYes(call.query.get("with_count"))) answer.count = rows.length;
  return answer;
}

/** A member sees the own project only; an admin who asks for all tenants sees all, or the one named. */
function isListed(call: Call, row: Row): boolean {
  if (!isAdmin(call) || !saysYes(call.query.get("all_tenants"))) return row.project_id === call.projectId;
  const wanted = call.query.get("project_id");
  return wanted === null || row.project_id === wanted;
}

function numberParameter(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  if (!/^-?\d+$/.test(text)) throw badRequest(`${name} param must be an integer`);
  if (text.startsWith("-")) throw badRequest(`${name} param must be positive`);
  return Number(text);
}

const sortKeys = new Set([
  "id",
  "created_at",
  "updated_at",
  "name",
  "display_name",
  "status",
  "size",
  "volume_size",
  "volume_id",
  "availability_zone",
  "bootable",
  "host",
  "attach_status",
  "attach_mode",
  "event_id",
  "resource_type",
  "resource_uuid",
  "request_id",
  "message_level",
  "guaranteed_until",
]);
const columnOf: Record<string, string> = { display_name: "name", volume_size: "size" };

/** Newest first unless told otherwise. Times count in whole seconds, so rows of one second are in the order of their ids. */
function comparator<R extends Row>(query: URLSearchParams): (a: R, b: R) => number {
  const wanted: [string, string][] = [];
  const sort = query.get("sort");
  if (sort) {
    for (const part of sort.split(",")) {
      const [key = "", direction = "desc"] = part.trim().split(":");
      wanted.push([key, direction]);
    }
  } else {
    const directions = query.getAll("sort_dir");
    for (const [index, key] of query.getAll("sort_key").entries())
      wanted.push([key, directions[index] ?? "desc"]);
    if (wanted.length === 0) wanted.push(["created_at", directions[0] ?? "desc"]);
  }
  const firstDirection = wanted[0]?.[1] ?? "desc";
  for (const key of ["created_at", "id"]) {
    if (!wanted.some(([other]) => other === key)) wanted.push([key, firstDirection]);
  }
  for (const [key, direction] of wanted) {
    if (!["asc", "desc"].includes(direction)) {
      throw badRequest("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.");
    }
    if (!sortKeys.has(key)) throw badRequest("Invalid input received: Invalid sort key");
  }
  const columns = wanted.map(([key, direction]) => ({
    column: (columnOf[key] ?? key) as keyof R,
    isTime: key.endsWith("_at"),
    sign: direction === "asc" ? 1 : -1,
  }));
  return (a, b) => {
    for (const { column, isTime, sign } of columns) {
      const order = compareValues(a[column], b[column], isTime);
      if (order !== 0) return order * sign;
    }
    return 0;
  };
}

function compareValues(a: unknown, b: unknown, isTime: boolean): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const left = sortable(a, isTime);
  const right = sortable(b, isTime);
  return left < right ? -1 : left > right ? 1 : 0;
}

function sortable(value: unknown, isTime: boolean): string {
  if (value === null || value === undefined) return "";
  return isTime ? String(value).slice(0, 19) : String(value);
}

function filter<R extends Row>(call: Call, collection: Collection<R>): (row: R) => boolean {
  const tests: ((row: R) => boolean)[] = [];
  const unknown: string[] = [];
  for (const [key, value] of call.query) {
    if (reserved.has(key)) continue;
    if (!collection.filters.includes(key)) {
      unknown.push(key);
    } else if (key === "metadata") {
      if (call.minor < (collection.metadataFilterSince ?? 0)) continue;
      const wanted = Object.entries(pythonDict(value));
      tests.push(row => {
        const metadata = (row as { metadata?: Record<string, string> }).metadata ?? {};
        return wanted.every(([name, text]) => metadata[name] === text);
      });
    } else if (key === "created_at" || key === "updated_at") {
      if (call.minor >= 60) tests.push(timeTest(key, value));
      else unknown.push(key);
    } else if (key === "bootable") {
      // cinder/api/v3/volumes.py takes any spelling of a flag, and no other
      if (!saysYes(value) && !saysNo(value))
        throw badRequest(`Invalid input received: Invalid value for bootable: ${value}`);
      tests.push(row => (row as { bootable?: boolean }).bootable === saysYes(value));
    } else {
      tests.push(row => String(row[key as keyof R]) === value);
    }
  }
  if (unknown.length > 0 && call.minor >= 31) {
    throw badRequest(`Invalid filters ${unknown.join(", ")} are found in query options.`);
  }
  return row => tests.every(test => test(row));
}

function timeTest<R extends Row>(key: string, value: string): (row: R) => boolean {
  const conditions = value.split(",").map(part => {
    const match = /^(gt|gte|eq|neq|lt|lte):(.+)$/.exec(part);
    const text = match?.[2] ?? part;
    const time = Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`);
    if (Number.isNaN(time)) throw badRequest(`Invalid input received: ${key} is not a valid time: ${value}`);
    return { operator: match?.[1] ?? "eq", time };
  });
  return row => {
    const stored = row[key as keyof R];
    if (typeof stored !== "string") return false;
    const at = Date.parse(`${wholeSeconds(stored)}Z`);
    return conditions.every(({ operator, time }) => {
      if (operator === "gt") return at > time;
      if (operator === "gte") return at >= time;
      if (operator === "lt") return at < time;
      if (operator === "lte") return at <= time;
      return operator === "neq" ? at !== time : at === time;
    });
  };
}

/** A Python dictionary of texts, `{'policy': 'daily'}`; JSON is one too. */
function pythonDict(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  const literal = /(?:u?'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/g;
  const texts = [...text.matchAll(literal)].map(match =>
    (match[1] ?? match[2] ?? "").replaceAll(/\\(.)/g, "$1"),
  );
  for (let index = 0; index + 1 < texts.length; index += 2)
    found[texts[index] ?? ""] = texts[index + 1] ?? "";
  return found;
}
