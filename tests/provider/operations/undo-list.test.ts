import assert from "node:assert/strict";
import { UndoList, UndoneError } from "../../../provider/operations/undo-list";

describe("UndoList", () => {
  it("undoes newest first and keeps the first error as the cause", async () => {
    const order: string[] = [];
    const undo = new UndoList();
    undo.add("snapshot s1", async () => order.push("s1"));
    undo.add("volume v1", async () => order.push("v1"));
    const first = new Error("restic failed");
    const error = await undo.undo(first);
    assert.deepEqual(order, ["v1", "s1"]);
    assert.ok(error instanceof UndoneError);
    assert.equal(error.message, "restic failed; undone: volume v1, snapshot s1");
    assert.equal(error.cause, first);
  });

  it("goes on after a clean-up that fails and reports it beside the first error", async () => {
    const undo = new UndoList();
    let removed = false;
    undo.add("snapshot s1", async () => (removed = true));
    undo.add("volume v1", async () => {
      throw new Error("still attached");
    });
    const error = (await undo.undo(new Error("restic failed"))) as UndoneError;
    assert.equal(removed, true);
    assert.equal(
      error.message,
      "restic failed; undone: snapshot s1; left behind, the next run finds it: volume v1 (still attached)",
    );
  });

  it("passes the error through when there is nothing to undo", async () => {
    const first = new Error("wrong password");
    assert.equal(await new UndoList().undo(first), first);
  });
});
