const { readFileSync } = require("node:fs");
const { ResticRepository, VolumeBackup } = require("pulumi-openstack-backup");

const repository = new ResticRepository("repository", {
  url: process.env.BENCH_REPOSITORY,
  password: process.env.BENCH_PASSWORD,
});
for (const [index, volumeId] of JSON.parse(readFileSync("volumes.json", "utf8")).entries())
  new VolumeBackup(`set-${index}`, {
    volumeId,
    schedule: "0 * * * *",
    repository,
    snapshot: { retention: { keepLast: 1 } },
    retention: { keepLast: Number(process.env.BENCH_KEEP) },
  });
