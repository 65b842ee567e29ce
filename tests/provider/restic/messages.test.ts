import assert from "node:assert/strict";
import { LineSplitter, parseMessage, toProgress, toUnreadable } from "../../../provider/restic/messages.js";

function split(...chunks: Buffer[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter(line => lines.push(line));
  for (const chunk of chunks) splitter.write(chunk);
  splitter.end();
  return lines;
}

const message = (line: string) => {
  const parsed = parseMessage(line);
  assert.ok(parsed);
  return parsed;
};

describe("LineSplitter", () => {
  it("puts lines together however they are cut, within a character too", () => {
    const bytes = Buffer.from("eins\nzwei für drei\r\nlast");
    for (let size = 1; size < bytes.length; size += 1) {
      const chunks: Buffer[] = [];
      for (let from = 0; from < bytes.length; from += size) chunks.push(bytes.subarray(from, from + size));
      assert.deepEqual(split(...chunks), ["eins", "zwei für drei", "last"]);
    }
  });

  it("passes on a line of 5 MB that comes in pieces of 64 KiB, in time that grows with its length", () => {
    const expected = `{"message_type":"status","current_files":["${"x".repeat(5_000_000)}"]}`;
    const long = Buffer.from(`${expected}\n`);
    const chunks: Buffer[] = [];
    for (let from = 0; from < long.length; from += 65536) chunks.push(long.subarray(from, from + 65536));
    const started = process.hrtime.bigint();
    const lines = split(...chunks);
    assert.ok(lines.length === 1 && lines[0] === expected);
    assert.ok(process.hrtime.bigint() - started < 1_000_000_000n);
  });

  it("drops a line beyond 64 MiB and goes on with the next", () => {
    const chunk = Buffer.alloc(16 * 1024 * 1024, "x");
    assert.deepEqual(split(chunk, chunk, chunk, chunk, chunk, Buffer.from("\nnext\n")), ["next"]);
  });
});

describe("parseMessage", () => {
  it("leaves plain text, broken JSON and JSON without a type aside", () => {
    assert.equal(parseMessage("Warning: at least one source file could not be read"), undefined);
    assert.equal(parseMessage('{"message_type":"status","perc'), undefined);
    assert.equal(parseMessage('{"version":2}'), undefined);
  });
});

describe("toProgress", () => {
  it("reads a status of restic 0.14", () => {
    const line =
      '{"message_type":"status","percent_done":0.21513843082331327,"total_files":8,"files_done":1,"total_bytes":2788902,"bytes_done":600000,"current_files":["/srv/f1","/srv/f2"]}';
    assert.deepEqual(toProgress(message(line)), {
      bytesDone: 600000,
      filesDone: 1,
      bytesTotal: 2788902,
      percent: 21.5,
    });
  });

  it("reads the remaining seconds", () => {
    const line =
      '{"message_type":"status","seconds_elapsed":4,"seconds_remaining":12,"percent_done":0.25,"bytes_done":5}';
    assert.deepEqual(toProgress(message(line)), { bytesDone: 5, filesDone: 0, percent: 25, etaSeconds: 12 });
  });

  it("leaves scan_finished aside, which is of type status in restic 0.14", () => {
    const line =
      '{"message_type":"status","action":"scan_finished","item":"","duration":0.22,"data_size":2788902,"total_files":8}';
    assert.equal(toProgress(message(line)), undefined);
  });
});

describe("toUnreadable", () => {
  const cases: [string, string, { path: string; reason: string }][] = [
    [
      "an empty error object",
      '{"message_type":"error","error":{},"during":"scan","item":"/v/locked"}',
      { path: "/v/locked", reason: "could not be read" },
    ],
    [
      "an operation with an errno",
      '{"message_type":"error","error":{"Op":"open","Path":"/v/f2","Err":13},"during":"archival","item":"/v/f2"}',
      { path: "/v/f2", reason: "open: EACCES" },
    ],
    [
      "an operation with an error that is an object",
      '{"message_type":"error","error":{"Op":"read","Path":"/vol.raw","Err":{}},"during":"archival","item":"/vol.raw"}',
      { path: "/vol.raw", reason: "could not be read" },
    ],
    [
      "a message, as of restic 0.17.1",
      '{"message_type":"error","error":{"message":"open /v/f2: permission denied"},"during":"archival","item":"/v/f2"}',
      { path: "/v/f2", reason: "open /v/f2: permission denied" },
    ],
    [
      "an error that is null",
      '{"message_type":"error","error":null,"item":"/v/f2"}',
      { path: "/v/f2", reason: "could not be read" },
    ],
  ];
  for (const [name, line, expected] of cases)
    it(`reads ${name}`, () => assert.deepEqual(toUnreadable(message(line)), expected));
});
