import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPolicyFlags } from "../../engine/cli";
import { schemaProblems } from "../../engine/json-schema";
import { readPolicyConfig, settlePolicies } from "../../engine/policy-config";
import type { Value } from "../../engine/property";

describe("schemaProblems", () => {
  const cases: [what: string, schema: Value, fits: Value[], problems: [Value, string][]][] = [
    ["a type", { type: "number" }, [1, 1.5], [["1", 'p must be of type number, not string: "1"']]],
    [
      "types",
      { type: ["string", "null"] },
      ["", null],
      [[1, "p must be of type string or null, not integer: 1"]],
    ],
    ["a choice", { enum: ["a", { b: 1 }] }, ["a", { b: 1 }], [["c", 'p must be one of "a", {"b":1}: "c"']]],
    ["a constant", { const: 1 }, [1], [[2, "p must be 1: 2"]]],
    [
      "bounds",
      { minimum: 1, exclusiveMaximum: 3 },
      [1, 2.9],
      [
        [0, "p must be at least 1: 0"],
        [3, "p must be below 3: 3"],
      ],
    ],
    ["multiples", { multipleOf: 0.5 }, [1.5], [[1.2, "p must be a multiple of 0.5: 1.2"]]],
    [
      "a text",
      { minLength: 2, pattern: "^a" },
      ["ab"],
      [
        ["a", 'p must have at least 2 characters: "a"'],
        ["bb", 'p must match ^a: "bb"'],
      ],
    ],
    [
      "items",
      { items: { type: "integer" } },
      [[1, 2]],
      [[[1, true], "p[1] must be of type integer, not boolean: true"]],
    ],
    ["a tuple", { items: [{}], additionalItems: false }, [[1]], [[[1, 2], "p[1] is not allowed"]]],
    ["contents", { contains: { const: 1 } }, [[0, 1]], [[[0], 'p must have an item that fits {"const":1}']]],
    ["no doubles", { uniqueItems: true, maxItems: 2 }, [[1, 2]], [[[1, 1], "p must not have an item twice"]]],
    [
      "properties",
      { required: ["a"], properties: { a: { type: "string" } }, additionalProperties: false },
      [{ a: "" }],
      [
        [{}, "p.a is required"],
        [{ a: "", b: 1 }, "p.b is not allowed"],
      ],
    ],
    [
      "patterns",
      { patternProperties: { "^x": { const: 1 } } },
      [{ x1: 1, y: 2 }],
      [[{ x1: 2 }, "p.x1 must be 1: 2"]],
    ],
    [
      "names",
      { propertyNames: { maxLength: 1 } },
      [{ a: 1 }],
      [[{ ab: 1 }, 'the name of p.ab must have at most 1 characters: "ab"']],
    ],
    ["dependencies", { dependencies: { a: ["b"] } }, [{ b: 1 }, {}], [[{ a: 1 }, "p.b is required by p.a"]]],
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
