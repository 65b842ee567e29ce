import assert from "node:assert/strict";
import { once } from "node:events";
import { afterCancel, UndoList, UndoneError, undoSignal } from "../../../provider/base/undo-list";

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

describe("undoSignal", () => {
  const { seconds } = afterCancel;
  afterEach(() => {
    afterCancel.seconds = seconds;
  });

  it("outlives the cancelled run, but not for long", async () => {
    afterCancel.seconds = 0.05;
    const run = new AbortController();
    const undoing = undoSignal(run.signal);
    assert.ok(undoing);
    assert.equal(undoSignal(run.signal), undoing);
    const ended = once(undoing, "abort");
    run.abort();
    assert.equal(undoing.aborted, false);
    await ended;
    assert.equal((undoing.reason as Error).message, "gave up 0.05 s after the run was cancelled");
  });

  it("leaves time to undo when it is first asked for after the cancel", async () => {
    afterCancel.seconds = 0.05;
    const undoing = undoSignal(AbortSignal.abort());
    assert.ok(undoing);
    assert.equal(undoing.aborted, false);
    await once(undoing, "abort");
  });

  it("is never aborted while nobody cancels", () => {
    assert.equal(undoSignal(new AbortController().signal)?.aborted, false);
    assert.equal(undoSignal(undefined), undefined);
  });
});
