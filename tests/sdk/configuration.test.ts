import assert from "node:assert/strict";
import { unknownConfiguration } from "../../sdk/configuration";

describe("configuration of the namespace openstackbackup", () => {
  it("is warned of where a key means nothing, with the nearest one", () => {
    assert.deepEqual(unknownConfiguration(["openstackbackup:pingURL", "openstackbackup:autUrl"]), [
      "the configuration key openstackbackup:pingURL means nothing, did you mean 'pingUrl'?",
      "the configuration key openstackbackup:autUrl means nothing, did you mean 'authUrl'?",
    ]);
  });

  it("is taken where it does, and others' is theirs", () => {
    const keys = ["authUrl", "cloud", "endpointOverrides", "pingUrl", "webhookUrl", "metricsDirectory"];
    assert.deepEqual(
      unknownConfiguration([...keys.map(key => `openstackbackup:${key}`), "shop:pingURL"]),
      [],
    );
  });
});
