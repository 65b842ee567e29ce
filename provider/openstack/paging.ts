import { z } from "zod";
import { ApiError } from "./errors";
import type { Call, Session } from "./session";

const PAGE_SIZE = 1000;

/** A listing: the call and the key its items are under, "snapshots". */
export interface Listing<T> extends Omit<Call<unknown>, "method" | "schema"> {
  key: string;
  item: z.ZodType<T>;
}

const Links = z.array(z.looseObject({ rel: z.string(), href: z.string() })).optional();

/**
 * Everything in a listing, page by page. The next page is what `<key>_links` says, or Glance's `next`, or starts after the last item of a full
 * page; a full last page is followed by an empty one. Only the query of a link is used: behind a proxy its host is
 * often an internal one. Throws ApiError when pages repeat.
 */
export async function everyPage<T extends { id: string }>(
  session: Session,
  listing: Listing<T>,
): Promise<T[]> {
  const { key, item, ...call } = listing;
  const schema = z.looseObject({
    [key]: z.array(item),
    [`${key}_links`]: Links,
    next: z.string().optional(),
  });
  const found = new Map<string, T>();
  const asked = new Set<string>();
  let query: Record<string, string | number | undefined> = { limit: PAGE_SIZE, ...call.query };
  for (;;) {
    asked.add(JSON.stringify(query));
    const { body, status } = await session.request({ ...call, method: "GET", query, schema });
    const items = body[key] as T[];
    for (const one of items) found.set(one.id, one);
    const links = body[`${key}_links`] as z.infer<typeof Links>;
    const next = nextQuery(
      query,
      items,
      links?.find(({ rel }) => rel === "next")?.href ?? (body.next as string | undefined),
    );
    if (items.length === 0 || next === undefined) return [...found.values()];
    if (asked.has(JSON.stringify(next))) {
      throw new ApiError({
        doing: call.doing,
        status,
        service: call.service,
        method: "GET",
        path: call.path,
        detail: `the listing goes round in a circle after ${found.size} items`,
      });
    }
    query = next;
  }
}

function nextQuery(
  query: Record<string, string | number | undefined>,
  items: { id: string }[],
  href: string | undefined,
): Record<string, string | number | undefined> | undefined {
  if (href !== undefined && URL.canParse(href, "http://localhost")) {
    const params = Object.fromEntries(new URL(href, "http://localhost").searchParams);
    if (Object.keys(params).length > 0) return { ...query, ...params };
  }
  const last = items.at(-1);
  return last && items.length >= Number(query.limit) ? { ...query, marker: last.id } : undefined;
}
