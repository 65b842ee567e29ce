const { readFileSync } = require("node:fs");
const { CinderSnapshot } = require("pulumi-openstack-backup");

// One backup set a volume, as a stack for a whole project declares them.
for (const [index, volumeId] of JSON.parse(readFileSync("volumes.json", "utf8")).entries())
  new CinderSnapshot(`set-${index}`, { volumeId, schedule: "30 2 * * *", retention: { keepLast: 3 } });
