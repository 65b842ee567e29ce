import assert from "node:assert/strict";
import { describePoint, namedPoints, sentence, tally } from "../../../provider/operations/words";

describe("describePoint", () => {
  const time = new Date("2026-11-22T04:10:31.250Z");

  it("names the slot when the point has one", () => {
    assert.equal(
      describePoint({ id: "d865fa6b-dcb5", time, slot: "2026-11-22T04:00:00Z" }),
      "d865fa6b of 2026-11-22T04:00:00Z",
    );
  });

  it("names the moment when there is no schedule", () => {
    assert.equal(describePoint({ id: "d865fa6b-dcb5", time, slot: "" }), "d865fa6b of 2026-11-22T04:10:31Z");
    assert.equal(describePoint({ id: "d865fa6b-dcb5", time }), "d865fa6b of 2026-11-22T04:10:31Z");
  });
});

describe("the words of a set", () => {
  const point = (id: string, hour: number) => ({
    id: `${id}-0000`,
    time: new Date(Date.UTC(2026, 10, 22, hour)),
    good: true,
    slot: `2026-11-22T${hour}:00:00Z`,
  });

  it("names every point that goes, with its reasons", () => {
    const gone = [
      { point: point("aaaaaaaa", 11), reasons: ["beyond the last 1", "not the newest of 2026-11-22"] },
      { point: point("bbbbbbbb", 10), reasons: ["beyond the last 1"] },
    ];
    assert.equal(
      tally(3, gone, "removes"),
      "keeps 3, removes 2: aaaaaaaa of 2026-11-22T11:00:00Z (beyond the last 1, not the newest of 2026-11-22), " +
        "bbbbbbbb of 2026-11-22T10:00:00Z (beyond the last 1)",
    );
    assert.equal(tally(3, [], "removes"), "keeps 3");
  });

  it("leaves out what there is not", () => {
    assert.equal(sentence(undefined, "took it", "", "keeps 3"), "took it; keeps 3");
  });

  it("counts and names points", () => {
    assert.equal(namedPoints([], "point"), "0 points");
    assert.equal(namedPoints([point("aaaaaaaa", 11)], "point"), "1 point: aaaaaaaa of 2026-11-22T11:00:00Z");
    assert.match(
      namedPoints([point("aaaaaaaa", 11), point("bbbbbbbb", 10)], "one", "many"),
      /^2 many: aaaaaaaa of \S+, bbbbbbbb of \S+$/,
    );
  });
});
