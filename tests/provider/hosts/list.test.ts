import assert from "node:assert/strict";
import { accessFromEnvironment } from "../../../provider/hosts/list";

describe("accessFromEnvironment", () => {
  it("takes what restic's own command line would take from the shell, and nothing else", () => {
    const access = accessFromEnvironment("s3:https://s3.example.com/bucket", {
      RESTIC_PASSWORD_FILE: "/etc/restic/password",
      AWS_ACCESS_KEY_ID: "key",
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_PROFILE: "",
      RESTIC_CACERT: "/etc/ssl/store.pem",
      RESTIC_REPOSITORY: "/another",
      PATH: "/usr/bin",
    });
    assert.deepEqual(access, {
      url: "s3:https://s3.example.com/bucket",
      environment: {
        AWS_ACCESS_KEY_ID: "key",
        AWS_SECRET_ACCESS_KEY: "secret",
      },
      passwordFile: "/etc/restic/password",
      caCertFile: "/etc/ssl/store.pem",
    });
  });
});
