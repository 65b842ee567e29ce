import { once } from "node:events";
import { startNode, whyNoNode } from "./node";

/** Runs mocha inside a node's namespaces, so that tests and pods reach each other, and nobody else reaches them. */
async function main(): Promise<number> {
  const why = whyNoNode();
  if (why !== undefined) {
    console.log(`skipped: ${why}\n\n0 passed, 0 failed, 1 skipped`);
    return 0;
  }
  const began = Date.now();
  const node = await startNode();
  console.log(`kubernetes: runs, ${Math.round((Date.now() - began) / 1000)} s`);
  try {
    const files = process.argv.slice(2);
    const tests = node.inside(
      process.execPath,
      [
        "node_modules/.bin/mocha",
        ...["--timeout", "300000"],
        ...(files.length > 0 ? files : ["tests/kubernetes/**/*.test.ts"]),
      ],
      // a folder of its own: who looks for what dead runs have left knows no process of another namespace
      { OSBACKUP_KUBERNETES: node.directory, TMPDIR: node.temporaryDirectory },
    );
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => tests.kill(signal));
    const [code] = await once(tests, "exit");
    return (code as number | null) ?? 1;
  } finally {
    await node.stop();
  }
}

main().then(
  code => process.exit(code),
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  },
);
