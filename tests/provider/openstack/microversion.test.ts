import assert from "node:assert/strict";
import {
  compareVersions,
  microversionHeader,
  newestMicroversion,
  olderOf,
} from "../../../provider/openstack/microversion";

describe("microversions", () => {
  it("are compared number by number", () => {
    assert.ok(compareVersions("3.9", "3.70") < 0);
    assert.ok(compareVersions("3.70", "3.9") > 0);
    assert.equal(compareVersions("3.66", "3.66"), 0);
    assert.equal(olderOf("3.9", "3.70"), "3.9");
  });

  it("are asked for by the service's name in the header", () => {
    assert.deepEqual(microversionHeader("block-storage", "3.66"), { "OpenStack-API-Version": "volume 3.66" });
    assert.deepEqual(microversionHeader("compute", "2.45"), { "OpenStack-API-Version": "compute 2.45" });
    assert.deepEqual(microversionHeader("image", "2.1"), {});
    assert.deepEqual(microversionHeader("compute", undefined), {});
  });

  it("are read from Cinder's and Nova's documents", () => {
    const cinder = {
      versions: [
        { id: "v2.0", version: "" },
        { id: "v3.0", version: "3.59", status: "CURRENT" },
      ],
    };
    assert.equal(newestMicroversion("block-storage", cinder), "3.59");
    assert.equal(
      newestMicroversion("compute", { version: { id: "v2.1", version: "2.96", min_version: "2.1" } }),
      "2.96",
    );
    assert.equal(
      newestMicroversion("compute", {
        versions: [
          { id: "v2.0", version: "" },
          { id: "v2.1", version: "2.96" },
        ],
      }),
      "2.96",
    );
  });

  it("are the oldest where the service has none", () => {
    assert.equal(newestMicroversion("block-storage", { versions: [{ id: "v3.0", version: "" }] }), "3.0");
  });

  it("are unknown where the document is none", () => {
    assert.equal(newestMicroversion("block-storage", { versions: [{ id: "v2.0" }] }), undefined);
    assert.equal(newestMicroversion("block-storage", "<html>"), undefined);
    assert.equal(newestMicroversion("block-storage", undefined), undefined);
  });
});
