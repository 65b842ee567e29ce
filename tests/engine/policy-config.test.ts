import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPolicyFlags } from "../../engine/cli";
import { schemaProblems } from "../../engine/json-schema";
import { readPolicyConfig, settlePolicies } from "../../engine/policy-config";
import type { Properties, Value } from "../../engine/property";

describe("schemaProblems", () => {
  const cases: [what: string, schema: Properties, fits: Value[], problems: [Value, string][]][] = [
    ["a type", { type: "number" }, [1, 1.5], [["1", 'p must be number: "1"']]],
    [
      "a choice",
      { enum: ["a", "b"] },
      ["a"],
      [["c", 'p must be equal to one of the allowed values "a", "b": "c"']],
    ],
    ["bounds", { minimum: 1 }, [1, 2.9], [[0, "p must be >= 1: 0"]]],
    ["items", { items: { type: "integer" } }, [[1, 2]], [[[1, true], "p[1] must be integer: true"]]],
    [
      "properties",
      { required: ["a"], properties: { a: { type: "string" } }, additionalProperties: false },
      [{ a: "" }],
      [
        [{}, "p must have required property 'a'"],
        [{ a: "", b: 1 }, "p must NOT have additional properties (b)"],
        [{ a: 1 }, "p.a must be string: 1"],
      ],
    ],
    ["what nobody knows", { type: "string", format: "own", secret: true }, [""], []],
  ];
  for (const [what, schema, fits, problems] of cases)
    it(`holds a value to ${what}`, () => {
      for (const value of fits) assert.deepEqual(schemaProblems(schema, value, "p"), []);
      for (const [value, problem] of problems)
        assert.deepEqual(schemaProblems(schema, value, "p"), [problem]);
    });
});

describe("settlePolicies", () => {
  const policies = [
    {
      name: "a",
      enforcement: "mandatory" as const,
      schema: { properties: { n: { default: 1 } }, required: ["n"] },
    },
    { name: "b", enforcement: "disabled" as const, schema: undefined },
  ];
  const settle = (
    initial: Parameters<typeof settlePolicies>[2],
    settings: Parameters<typeof settlePolicies>[2],
  ) => settlePolicies("pack", policies, initial, { file: "config.json", settings });

  it("lets the user's settings go before those of the pack, and a name before all", () => {
    assert.deepEqual(settle({ a: { properties: { n: 2, m: 1 }, enforcement: "advisory" } }, {}), {
      a: { enforcement: "advisory", properties: { n: 2, m: 1 } },
      b: { enforcement: "disabled", properties: {} },
    });
    const all = { enforcement: "remediate" as const, properties: { n: 9 } };
    assert.deepEqual(
      settle({ a: { properties: { n: 2 }, enforcement: "advisory" } }, { all, b: { properties: { x: 1 } } }),
      {
        a: { enforcement: "remediate", properties: { n: 2 } },
        b: { enforcement: "remediate", properties: { x: 1 } },
      },
    );
    assert.deepEqual(settle({}, { all, a: { enforcement: "mandatory", properties: {} } }).a, {
      enforcement: "mandatory",
      properties: { n: 1 },
    });
  });

  it("names the policy that is not there, and those that are", () => {
    assert.throws(() => settle({}, { c: { properties: {} } }), {
      message: "configuring policy pack pack by config.json: it has no policy c; its policies are a, b",
    });
  });
});

describe("readPolicyConfig", () => {
  const root = mkdtempSync(join(tmpdir(), "osbackup-policy-config-"));
  after(() => rmSync(root, { recursive: true, force: true }));
  const file = join(root, "config.json");
  const read = (text: string) => {
    writeFileSync(file, text);
    return readPolicyConfig(file);
  };

  it("takes a level, properties, or both", () => {
    assert.deepEqual(read('{"all":"advisory","a":{"n":1},"b":{"enforcementLevel":"disabled","n":[2]}}'), {
      all: { enforcement: "advisory", properties: {} },
      a: { properties: { n: 1 } },
      b: { enforcement: "disabled", properties: { n: [2] } },
    });
  });

  it("says which file, policy and value it cannot take", () => {
    for (const [text, told] of [
      ["{", /config\.json: .*JSON/],
      ["[]", /config\.json: it must be a JSON object such as/],
      ['{"a":null}', /config\.json: a must be an enforcement level or an object: null$/],
      [
        '{"a":"strict"}',
        /config\.json: the enforcement level of a must be one of advisory, mandatory, remediate, disabled: "strict"$/,
      ],
    ] as const)
      assert.throws(() => read(text), told);
    assert.throws(() => readPolicyConfig(join(root, "none.json")), /none\.json: there is no such file$/);
  });
});

describe("readPolicyFlags", () => {
  it("gives each pack its configuration, and takes no other number of them", () => {
    assert.deepEqual(readPolicyFlags(["a", "b"], ["", "c"]), [
      { directory: "a" },
      { directory: "b", configFile: "c" },
    ]);
    assert.deepEqual(readPolicyFlags(["a", "b"], []), [{ directory: "a" }, { directory: "b" }]);
    assert.throws(() => readPolicyFlags(["a", "b"], ["c"]), /there are 1 for 2 of --policy-pack/);
    assert.throws(() => readPolicyFlags([], ["c"]), /there are 1 for 0 of --policy-pack/);
  });
});
