import { type CloudUnderTest, cloudUnderTest } from "./clouds";
import { describeContract } from "./contract";

describe("devcloud", () => {
  let cloud: CloudUnderTest;

  before(async () => {
    cloud = await cloudUnderTest("devcloud");
  });

  after(() => cloud?.stop());

  describeContract("devcloud", () => cloud);
});
