import assert from "node:assert/strict";
import {
  type Catalog,
  completeEndpoint,
  findEndpoint,
  keystoneUrl,
} from "../../../provider/openstack/catalog";

const P = "19f8ab3acb5144b38a6d5cea67111b83";

describe("completeEndpoint", () => {
  for (const [service, url, expected] of [
    ["block-storage", `https://c/v3/${P}`, `https://c/v3/${P}`],
    ["block-storage", "https://c/v3", `https://c/v3/${P}`],
    ["block-storage", "https://c/v3/", `https://c/v3/${P}`],
    ["block-storage", "https://c:8776", `https://c:8776/v3/${P}`],
    ["block-storage", "https://c/volume/v3/%(project_id)s", `https://c/volume/v3/${P}`],
    ["block-storage", "https://c/volume/v3/$(tenant_id)s", `https://c/volume/v3/${P}`],
    ["block-storage", `https://c/v2/${P}`, `https://c/v3/${P}`],
    ["block-storage", `https://c/v1/AUTH_${P}/`, `https://c/v3/${P}`],
    ["compute", "https://c/compute/v2.1", "https://c/compute/v2.1"],
    ["compute", `https://c:8774/v2.1/${P}`, `https://c:8774/v2.1/${P}`],
    ["compute", "https://c/compute", "https://c/compute/v2.1"],
    ["image", "https://c/image", "https://c/image/v2"],
    ["image", "https://c:9292/v2/", "https://c:9292/v2"],
    ["identity", "https://c:5000", "https://c:5000/v3"],
  ] as const) {
    it(`makes ${url} of ${service} ${expected}`, () =>
      assert.equal(completeEndpoint(service, url, P), expected));
  }

  it("leaves the project out when there is none", () => {
    assert.equal(completeEndpoint("block-storage", "https://c/v3", undefined), "https://c/v3");
  });
});

describe("keystoneUrl", () => {
  for (const url of [
    "https://k:5000",
    "https://k:5000/",
    "https://k:5000/v2.0",
    "https://k:5000/v3",
    "https://k:5000/v3/",
  ]) {
    it(`makes ${url} version 3`, () => assert.equal(keystoneUrl(url), "https://k:5000/v3"));
  }
});

describe("findEndpoint", () => {
  const endpoint = (url: string, interfaceName = "public", region = "R1") => ({
    interface: interfaceName,
    url,
    region,
    region_id: region,
  });
  const catalog: Catalog = [
    { type: "identity", endpoints: [endpoint("https://k")] },
    { type: "volumev2", endpoints: [endpoint("https://v2/R1")] },
    {
      type: "volumev3",
      name: "cinderv3",
      endpoints: [
        endpoint("https://v3/R1"),
        endpoint("https://internal/R1", "internal"),
        endpoint("https://v3/R2", "public", "R2"),
      ],
    },
  ];
  const find = (settings: object = {}, from = catalog) =>
    findEndpoint(from, "block-storage", { interfaces: ["public"], ...settings });

  it("takes the newest type, the interface and the region", () => {
    assert.equal(find({ region: "R1" }), "https://v3/R1");
    assert.equal(find({ region: "R2" }), "https://v3/R2");
    assert.equal(find({ region: "R1", interfaces: ["internal"] }), "https://internal/R1");
  });

  it("takes the first interface of the list that is there", () => {
    assert.equal(find({ region: "R2", interfaces: ["internal", "public"] }), "https://v3/R2");
    assert.equal(find({ region: "R1", interfaces: ["internal", "public"] }), "https://internal/R1");
  });

  it("knows the official type and the oldest alias", () => {
    assert.equal(find({}, [{ type: "block-storage", endpoints: [endpoint("https://new")] }]), "https://new");
    assert.equal(find({}, [{ type: "volume", endpoints: [endpoint("https://old")] }]), "https://old");
    assert.equal(
      find({}, [{ type: "volumev3", endpoints: [endpoint("https://x", "publicURL")] }]),
      "https://x",
    );
  });

  it("does not guess between regions", () => {
    assert.throws(() => find(), {
      name: "ConfigError",
      message:
        "the cloud has block-storage in the regions R1, R2: choose one with the region property, openstack:region or OS_REGION_NAME",
    });
  });

  it("says what there is when it finds nothing", () => {
    const messages = [
      () => find({ region: "R3" }),
      () => find({ region: "R2", interfaces: ["admin"] }),
      () => find({}, [{ type: "identity", endpoints: [] }]),
    ].map(run => {
      try {
        return run();
      } catch (error) {
        return (error as Error).message;
      }
    });
    assert.deepEqual(messages, [
      "the catalog has no block-storage with interface public in region R3: it has it in R1, R2; set the region",
      "the catalog has no block-storage with interface admin in region R2: it has other interfaces of it; set the interface",
      "the catalog has no block-storage with interface public: it has identity",
    ]);
  });
});
