import assert from "node:assert/strict";
import { UndoneError } from "../../../provider/base/undo-list";
import { wordsOf } from "../../../provider/hosts/remedy";
import { ApiError } from "../../../provider/openstack";

const failure = (status: number) =>
  new ApiError({
    doing: "creating snapshot of volume x",
    status,
    service: "block-storage",
    method: "POST",
    path: "/snapshots",
    detail: "it failed",
  });

describe("What is said of a failure", () => {
  it("is that the next run goes on, where a cloud has failed, under what was undone too", () => {
    assert.match(wordsOf(failure(500)), /\(HTTP 500, cinder\); the next run goes on from here$/);
    assert.match(
      wordsOf(new UndoneError(failure(503), ["volume y"], [])),
      /undone: volume y; the next run goes on from here$/,
    );
  });

  it("is not said twice", () => {
    const words = wordsOf(new UndoneError(failure(500), [], ["volume y"]));
    assert.match(words, /left behind, the next run finds it: volume y$/);
  });

  it("tells of what may be gone for good, and of what the user may not do", () => {
    assert.match(wordsOf(failure(404)), /or fails again where what is not found is gone for good$/);
    assert.match(wordsOf(failure(403)), /ask who runs the cloud; the next run goes on from here$/);
  });

  it("is nothing more where the program is wrong", () => {
    assert.equal(wordsOf(new TypeError("x is not a function")), "x is not a function");
  });
});
