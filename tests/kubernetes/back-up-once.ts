import { readFileSync } from "node:fs";
import { Driver } from "../../provider/driver/driver";
import { World } from "../../provider/driver/world";

/** Makes one ResticBackup in a process of its own, so that a test can kill it. */
async function main(): Promise<void> {
  const { given, environment } = JSON.parse(readFileSync(process.argv[2] as string, "utf8"));
  const driver = new Driver(new World({}, () => {}, environment));
  const { inputs } = await driver.check("ResticBackup", undefined, given);
  await driver.create("ResticBackup", inputs);
}

void main();
