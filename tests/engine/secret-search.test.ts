import assert from "node:assert/strict";
import { leaksIn } from "./secret-search";

describe("leaksIn", () => {
  const base64 = (text: string) => Buffer.from(text).toString("base64");

  it("finds a secret as it is and in base64, wherever it stands", () => {
    const texts = new Map([
      ["plain", "the password is open sesame!"],
      ["alone", base64("open sesame")],
      ["first", base64("open sesame and more")],
      ["one before", base64("1open sesame")],
      ["two before", base64("12open sesame and")],
      ["three before", base64("123open sesame")],
      ["another", base64("open barley")],
    ]);
    assert.deepEqual(leaksIn(texts, ["open sesame"]), [
      ...["plain", "alone", "first", "one before", "two before", "three before"],
    ]);
    assert.deepEqual(leaksIn(texts, []), []);
  });
});
