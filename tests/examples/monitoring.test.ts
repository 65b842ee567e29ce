import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { parser } from "@prometheus-io/lezer-promql";
import { parse } from "yaml";
import { metricNames } from "../../provider/signals/metrics";

const root = path.join(__dirname, "..", "..");
const folder = path.join(root, "examples", "monitoring");
const known = metricNames.map(name => `openstack_backup_${name}`);

/** What Prometheus' own grammar does not understand of a query, and which metrics it asks for. */
function read(query: string): { errors: number; metrics: string[] } {
  let errors = 0;
  parser.parse(query).iterate({
    enter: ({ type }) => {
      if (type.isError) errors++;
    },
  });
  return { errors, metrics: query.match(/openstack_backup_\w+/g) ?? [] };
}

function isUnderstood(query: string): void {
  const { errors, metrics } = read(query);
  assert.equal(errors, 0, query);
  assert.ok(metrics.length > 0, query);
  for (const metric of metrics) assert.ok(known.includes(metric), `${metric} in ${query}`);
}

describe("examples/monitoring", () => {
  it("has alerts that Prometheus understands, over metrics that a run writes", () => {
    const { groups } = parse(readFileSync(path.join(folder, "alerts.yaml"), "utf8")) as {
      groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[];
    };
    const rules = groups.flatMap(group => group.rules);
    assert.ok(rules.length >= 6);
    for (const { alert, expr, annotations } of rules) {
      assert.match(alert, /^[A-Z]\w+$/);
      isUnderstood(expr);
      for (const [, label = ""] of annotations.summary.matchAll(/\$labels\.(\w+)/g))
        assert.ok(["stack", "set", "resource", "type"].includes(label), label);
    }
  });

  it("has a dashboard whose queries are understood", () => {
    const { panels } = JSON.parse(readFileSync(path.join(folder, "dashboard.json"), "utf8")) as {
      panels: { id: number; targets: { expr: string }[] }[];
    };
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    for (const { targets } of panels)
      for (const { expr } of targets) isUnderstood(expr.replaceAll("$stack", ".*"));
  });

  it("would notice a query that is none, and the page names each metric", () => {
    assert.ok(read("time( - openstack_backup_info").errors > 0);
    const page = readFileSync(path.join(root, "docs", "signals.md"), "utf8");
    for (const metric of known) assert.ok(page.includes(metric), metric);
  });
});
