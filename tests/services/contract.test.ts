import { type CloudUnderTest, cloudUnderTest } from "../contract/clouds";
import { describeContract } from "../contract/contract";
import { type Openstack, openstack } from ".";

describe("real Cinder", () => {
  let services: Openstack;

  before(async function () {
    this.timeout(900_000); // the first start on a machine installs everything
    services = await openstack({ backends: ["rbd", "nfs"] });
  });

  after(async function () {
    this.timeout(60_000);
    await services?.stop();
  });

  for (const backend of ["rbd", "nfs"] as const) {
    describe(backend, () => {
      let cloud: CloudUnderTest;

      before(async () => {
        cloud = await cloudUnderTest(backend, services);
        // The mover reads Ceph as the machine is configured for it.
        Object.assign(
          process.env,
          services.environment.CEPH_CONF && { CEPH_CONF: services.environment.CEPH_CONF },
        );
      });

      after(() => cloud?.stop());

      describeContract(backend, () => cloud);
    });
  }
});
