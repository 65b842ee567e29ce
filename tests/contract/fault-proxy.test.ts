import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { FaultProxy, type Harm } from "./fault-proxy";

describe("FaultProxy", () => {
  let upstream: Server;
  let proxy: FaultProxy;
  let carriedOut: number;

  beforeEach(async () => {
    carriedOut = 0;
    upstream = createServer((_, answer) => {
      carriedOut++;
      answer.end(JSON.stringify({ volume: "of the cloud" }));
    });
    await new Promise<void>(resolve => upstream.listen(0, "127.0.0.1", resolve));
    const { port } = upstream.address() as AddressInfo;
    proxy = await FaultProxy.start({ volume: `http://127.0.0.1:${port}` });
  });
  afterEach(async () => {
    await proxy.stop();
    upstream.closeAllConnections();
    await new Promise(resolve => upstream.close(resolve));
  });

  const ask = () => fetch(`${proxy.url("volume")}/v3/volumes`, { method: "POST", body: "{}" });

  it("ends the connection in the middle of an answer of which the cloud has carried out the request", async () => {
    const hits = proxy.inject({ harm: { half: true } });
    const answer = await ask();
    assert.equal(answer.status, 200);
    await assert.rejects(answer.text(), /terminated/);
    assert.deepEqual([carriedOut, hits()], [1, 1]);
    assert.deepEqual(await (await ask()).json(), { volume: "of the cloud" });
  });

  it("answers as it is told, and lets the cloud carry out the request only where the fault says so", async () => {
    const harm: Harm = { status: 429, headers: { "retry-after": "1" }, body: { over: "limit" } };
    proxy.inject({ harm });
    const refused = await ask();
    assert.deepEqual(
      [refused.status, refused.headers.get("retry-after"), await refused.json(), carriedOut],
      [429, "1", { over: "limit" }, 0],
    );
    proxy.inject({ harm: { status: 200, body: { of: "another shape" }, takesEffect: true } });
    assert.deepEqual([await (await ask()).json(), carriedOut], [{ of: "another shape" }, 1]);
  });

  it("calls before the cloud has the request, when it has answered, and when the answer has gone", async () => {
    const order: string[] = [];
    proxy.onPassed = ({ status }) => order.push(`passed ${status}`);
    const harm = {
      before: ({ method }: { method: string }) => order.push(`${method} ${carriedOut}`),
      between: (_: unknown, answer: string) => order.push(`answered ${carriedOut} ${answer}`),
      after: () => order.push("gone"),
    };
    proxy.inject({ harm });
    await (await ask()).text();
    assert.deepEqual(order, ["POST 0", "passed 200", 'answered 1 {"volume":"of the cloud"}', "gone"]);
  });
});
