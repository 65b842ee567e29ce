import assert from "node:assert/strict";
import {
  parseCopySet,
  parseScheduleFile,
  ScheduleFileError,
  serverNamed,
} from "../../../provider/operations/schedule-file";

const read = (text: string) =>
  parseScheduleFile(text, "snap_sched.yml").map(
    ({ server, copySet }) => `${server} ${copySet.name} ${copySet.schedule} ${copySet.count}`,
  );
const refused = (text: string): string => {
  try {
    parseScheduleFile(text, "snap_sched.yml");
  } catch (error) {
    assert.ok(error instanceof ScheduleFileError);
    return error.message;
  }
  throw new Error("the file was not refused");
};

describe("parseCopySet", () => {
  for (const [text, name, schedule, count] of [
    // the script's own names and minutes
    ["7@mon-fri@1,3,15,20", "hourly", "0 1,3,15,20 * * 1,2,3,4,5", 7],
    ["4@mon-sun@2", "daily", "2 2 * * *", 4],
    ["4@sun@2", "weekly", "4 2 * * 0", 4],
    ["7@*@2", "weekly", "4 2 * * *", 7],
    ["24@mon-sun@0-23", "hourly", "0 * * * *", 24],
    ["3@mon-fri@*", "daily", "2 * * * 1,2,3,4,5", 3],
    ["3@mon-fri@*/6", "daily", "2 0,6,12,18 * * 1,2,3,4,5", 3],
    // NetApp's: days left out, hours first, mixed ranges, neither
    ["7@2", "daily", "2 2 * * *", 7],
    ["7@7,8-17,19@mon-fri", "hourly", "0 7,8,9,10,11,12,13,14,15,16,17,19 * * 1,2,3,4,5", 7],
    ["6", "daily", "2 0 * * *", 6],
    ["0@mon-fri@8", "daily", "2 8 * * 1,2,3,4,5", 0],
  ] as const) {
    it(`reads ${text}`, () => {
      const set = parseCopySet(text);
      assert.deepEqual([set.name, set.schedule, set.count], [name, schedule, count]);
      assert.equal(set.takesPoints, count > 0);
    });
  }

  it("takes none for a lone dash", () => {
    assert.equal(parseCopySet("7@-").takesPoints, false);
  });

  it("refuses an hour above 23 and a count below 0", () => {
    assert.throws(() => parseCopySet("7@mon-fri@24"), /"24" is no hour; use whole numbers from 0 to 23/);
    assert.throws(() => parseCopySet("-1@mon-fri@2"), /"-1" is no count of points to keep/);
    assert.throws(() => parseCopySet("7@mon-fry@2"), /"fry" is no day; use mon, tue/);
  });
});

describe("parseScheduleFile", () => {
  it("reads a map from schedule to servers", () => {
    const text =
      "# nightly\n7@mon-fri@1,3,15,20: [web.example.com, db.example.com]\n4@sun@2:\n  - db.example.com\n";
    assert.deepEqual(read(text), [
      "web.example.com hourly 0 1,3,15,20 * * 1,2,3,4,5 7",
      "db.example.com hourly 0 1,3,15,20 * * 1,2,3,4,5 7",
      "db.example.com weekly 4 2 * * 0 4",
    ]);
  });

  it("reads a map from server to schedules", () => {
    assert.deepEqual(read("web:\n  - 7@mon-fri@1,3\n  - 4@sun@2\ndb: 7@mon-sun@2\n"), [
      "web hourly 0 1,3 * * 1,2,3,4,5 7",
      "web weekly 4 2 * * 0 4",
      "db daily 2 2 * * * 7",
    ]);
  });

  it("reads an empty file as no schedules", () => {
    assert.deepEqual(read("# nothing yet\n"), []);
  });

  it("tells the line and the cure of a schedule without its colon", () => {
    const words = refused("4@sun@2: [db]\n7@mon-sun:14\n  - web\n");
    assert.match(
      words,
      /^snap_sched\.yml, line 2, column 1: no colon ends the schedule '7@mon-sun:14'; write `7@mon-sun@14:`$/,
    );
  });

  it("tells line and column of a schedule that cannot be read", () => {
    assert.match(refused("4@sun@2: [db]\n7@mon-fri@25: [web]\n"), /line 2, column 1: .*"25" is no hour/);
    assert.match(refused("web:\n  - 7@mon-fri@1\n  - soon\n"), /line 3, column 5: .*"soon" is no schedule/);
  });

  it("refuses two copy sets of one name for a server", () => {
    assert.match(
      refused("7@mon-fri@1,3: [web]\n5@sat-sun@1,13: [db, web]\n"),
      /line 2, column 1: '5@sat-sun@1,13' is a second copy set "hourly" of server 'web', beside '7@mon-fri@1,3' of line 1/,
    );
  });

  it("refuses what is no map, no list and no YAML", () => {
    assert.match(refused("just words\n"), /line 1, column 1: a map is expected/);
    assert.match(refused("7@mon-fri@1:\n"), /line 1, column 1: '7@mon-fri@1' has nothing after its colon/);
    assert.match(refused("7@mon-fri@1: [web\n"), /this is no YAML/);
    assert.match(refused("7@mon-fri@1: [[web]]\n"), /line 1, column 15: a name or a schedule is expected/);
  });
});

describe("serverNamed", () => {
  const servers = [
    { id: "a1", name: "web" },
    { id: "a2", name: "db_primary" },
    { id: "a3", name: "cache" },
    { id: "a4", name: "cache" },
  ];

  it("finds a server by id, by name, and by what its name is before the first '_'", () => {
    assert.equal(serverNamed("a3", servers).id, "a3");
    assert.equal(serverNamed("web", servers).id, "a1");
    assert.equal(serverNamed("db", servers).id, "a2");
    assert.equal(serverNamed("web_old", servers).id, "a1");
  });

  it("refuses a name that two servers have, or none", () => {
    assert.throws(
      () => serverNamed("cache", servers),
      /two servers are called 'cache', a3 and a4; give the id of one/,
    );
    assert.throws(() => serverNamed("wed", servers), /there is no server 'wed', did you mean 'web'\?/);
  });
});
