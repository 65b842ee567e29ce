// Prints what GitHub's own parser has against the workflows that are named: a JSON list of sentences. A process of its
// own, because the parser is an ES module that only tsx's loader reads on every Node that we support.
import { readFileSync } from "node:fs";

void (async () => {
  const { NoOperationTraceWriter, parseWorkflow } = await import("@actions/workflow-parser");
  const errors = process.argv.slice(2).flatMap(file => {
    const content = readFileSync(file, "utf8");
    return parseWorkflow({ name: file, content }, new NoOperationTraceWriter()).context.errors.getErrors();
  });
  console.log(JSON.stringify(errors.map(String)));
})();
