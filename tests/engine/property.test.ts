import assert from "node:assert/strict";
import {
  accept,
  annotateSecrets,
  changedKeys,
  containsSecret,
  eachSecretText,
  equal,
  forProvider,
  makeSecret,
  type Path,
  type Properties,
  parsePath,
  pathContains,
  RESOURCE,
  resetPath,
  SECRET,
  SIGNATURE,
  type Value,
  withoutSecrets,
} from "../../engine/property";

const secret = (value: Value): Value => ({ [SIGNATURE]: SECRET, value });

describe("Value", () => {
  it("becomes one secret when it holds some", () => {
    assert.deepEqual(makeSecret(["a", secret("b"), { c: secret(1) }]), secret(["a", "b", { c: 1 }]));
    assert.deepEqual(makeSecret(secret("b")), secret("b"));
  });

  it("says whether it holds a secret", () => {
    assert.equal(containsSecret({ a: [{ b: secret(1) }] }), true);
    assert.equal(containsSecret({ a: [{ b: 1 }] }), false);
  });

  it("is compared by what it holds, secrets only with secrets", () => {
    assert.equal(equal({ a: [1, null, secret({ b: 2 })] }, { a: [1, null, secret({ b: 2 })] }), true);
    assert.equal(equal(secret("a"), "a"), false);
    assert.equal(equal({ a: 1 }, { a: 1, b: 2 }), false);
    assert.equal(equal([1], { 0: 1 }), false);
    assert.equal(equal(null, undefined), false);
  });

  it("goes to a provider with secrets in the clear and references as ids", () => {
    const reference = { [SIGNATURE]: RESOURCE, urn: "urn:x", id: "id-1", packageVersion: "" };
    const component = { [SIGNATURE]: RESOURCE, urn: "urn:y", packageVersion: "" };
    assert.deepEqual(forProvider({ a: secret(["x", reference]), b: component }), {
      a: ["x", "id-1"],
      b: "urn:y",
    });
  });

  it("is refused when it is an asset, wherever it is", () => {
    const asset = { [SIGNATURE]: "c44067f5952c0a294b673a41bacd8c17", text: "x" };
    assert.throws(() => accept({ a: [asset] }, "registering x"), {
      message: "registering x: assets are not supported by the embedded engine; use the pulumi CLI",
    });
  });

  it("tells the texts that its secrets hide", () => {
    const texts: string[] = [];
    eachSecretText({ open: "no", hidden: secret({ a: "one", b: [2, "three"] }) }, text => texts.push(text));
    assert.deepEqual(texts, ["one", "2", "three"]);
  });
});

describe("annotateSecrets", () => {
  it("marks objects key by key and anything else as a whole", () => {
    const inputs: Properties = {
      a: secret("x"),
      list: [1, secret(2)],
      map: { open: 1, hidden: secret(2) },
      gone: secret(1),
    };
    const outputs: Properties = { a: "y", list: [3], map: { open: 4, hidden: 5, more: 6 }, other: 7 };
    annotateSecrets(outputs, inputs);
    assert.deepEqual(outputs, {
      a: secret("y"),
      list: secret([3]),
      map: { open: 4, hidden: secret(5), more: 6 },
      other: 7,
    });
  });
});

describe("changedKeys", () => {
  it("names what differs, with null as good as absent", () => {
    const changes = changedKeys({ a: 1, b: 2, c: null, d: 4 }, { a: 1, b: 3, d: null, e: 5 });
    assert.deepEqual(
      [...changes],
      [
        ["b", "update"],
        ["d", "delete"],
        ["e", "add"],
      ],
    );
  });
});

describe("parsePath", () => {
  for (const [text, path] of [
    ["root", ["root"]],
    ["root.nested", ["root", "nested"]],
    ['root["key with a ."][0]', ["root", "key with a .", 0]],
    ['["quoted \\" quote"].x', ['quoted " quote', "x"]],
    ["list[*].field", ["list", "*", "field"]],
    ["*", ["*"]],
    ["foo-bar", ["foo-bar"]],
  ] as [string, Path][]) {
    it(`reads ${text}`, () => assert.deepEqual(parsePath(text), path));
  }
  for (const text of [".root", "root[", 'root["x', "root[x]"]) {
    it(`does not take ${text} for a path`, () => assert.equal(parsePath(text), undefined));
  }
});

describe("pathContains", () => {
  it("holds for the path itself, below it, and under wildcards", () => {
    assert.equal(pathContains(["a"], ["a", "b"]), true);
    assert.equal(pathContains(["*", "b"], ["a", "b"]), true);
    assert.equal(pathContains(["a", "b"], ["a"]), false);
    assert.equal(pathContains(["a"], ["b"]), false);
  });
});

describe("resetPath", () => {
  const cases: [string, Properties, Properties, Properties, boolean][] = [
    ["a", { a: 1 }, { a: 2 }, { a: 1 }, true],
    ["a", {}, { a: 2 }, {}, true],
    ["a", { a: 1 }, {}, { a: 1 }, true],
    ["a.b", { a: { b: 1 } }, { a: { b: 2, c: 3 } }, { a: { b: 1, c: 3 } }, true],
    ["a.b", { a: { b: 1 } }, {}, {}, false],
    ["a[1]", { a: [1, 2] }, { a: [1, 3] }, { a: [1, 2] }, true],
    ["a[1]", { a: [1] }, { a: [1, 3] }, { a: [1, 3] }, false],
    ["*", { a: 1, b: 2 }, { a: 3, c: 4 }, { a: 1, b: 2 }, true],
    ["a.*", { a: [1, 2] }, { a: [3, 4] }, { a: [1, 2] }, true],
    ["a[*].b", { a: [{ b: 1 }] }, { a: [{ b: 2 }] }, { a: [{ b: 1 }] }, true],
    ["a", { a: secret(1) }, { a: 2 }, { a: secret(1) }, true],
    ["a.b", { a: secret({ b: 1 }) }, { a: { b: 2 } }, { a: { b: secret(1) } }, true],
  ];
  for (const [text, olds, news, expected, followed] of cases) {
    it(`resets ${text} of ${JSON.stringify(withoutSecrets(news))} to ${JSON.stringify(withoutSecrets(olds))}`, () => {
      const result = structuredClone(news);
      assert.equal(resetPath(parsePath(text) as Path, olds, result), followed);
      assert.deepEqual(result, expected);
    });
  }
});
