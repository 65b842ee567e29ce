import assert from "node:assert/strict";
import { inspect } from "node:util";
import { z } from "zod";
import {
  isBadRequest,
  isNotFound,
  isOverQuota,
  isUnauthorized,
  isUnreachable,
  RUN_REQUEST_ID,
  resolveCloud,
  type Session,
  snapshots,
  volumes,
} from "../../../provider/openstack";
import { apiError, configMessage, rejection } from "./rejection";
import { PASSWORD, ScriptedCloud } from "./scripted-cloud";
import { PROJECT, ScriptedServer } from "./scripted-server";

const ID = "2d5989fa-1e5e-4806-ab7b-589179948262";

describe("Session", () => {
  let cloud: ScriptedCloud;
  let server: ScriptedServer;
  let session: Session;
  const clock = performance.now;

  beforeEach(async () => {
    cloud = await ScriptedCloud.start();
    server = cloud.server;
    session = cloud.session();
    server.on("GET", `${cloud.cinder}/snapshots/${ID}`, server.recorded("cinder-104-snapshot-show-mv3.71"));
  });

  afterEach(async () => {
    performance.now = clock;
    await cloud.stop();
  });

  const logins = () => server.seen("POST", "/auth/tokens").length;
  const age = (seconds: number) => {
    performance.now = () => clock.call(performance) + seconds * 1000;
  };

  describe("logging in", () => {
    it("sends user, password and project to Keystone", async () => {
      assert.equal(await session.projectId(), PROJECT);
      assert.equal(await session.userId(), "9d5f1dc7e3c54a8b8e7bf1b24a497713");
      assert.deepEqual(server.requests[0]?.body, {
        auth: {
          identity: {
            methods: ["password"],
            password: { user: { name: "demo", domain: { id: "default" }, password: PASSWORD } },
          },
          scope: { project: { name: "demo", domain: { id: "default" } } },
        },
      });
    });

    it("happens once for 100 calls at the same time, and the version document is read once", async () => {
      await Promise.all(Array.from({ length: 100 }, () => snapshots.get(session, ID)));
      assert.equal(logins(), 1);
      assert.equal(session.calls, 102);
      assert.equal(server.requests.length, 102);
    });

    it("is shared by all sessions of the same cloud, also of two regions", async () => {
      assert.equal(cloud.sessions.open(cloud.config()), session);
      const other = cloud.session({ region: "RegionOne" });
      assert.notEqual(other, session);
      await Promise.all([session.projectId(), other.projectId()]);
      assert.equal(logins(), 1);
    });

    it("is not shared with another user or password", async () => {
      const environment = { ...cloud.environment, OS_PASSWORD: "another one" };
      const other = cloud.sessions.open(resolveCloud({ directory: "/" }, environment));
      await Promise.all([session.projectId(), other.projectId()]);
      assert.equal(logins(), 2);
    });

    it("happens again a minute before the token expires", async () => {
      await snapshots.get(session, ID);
      age(3600 - 61);
      await snapshots.get(session, ID);
      assert.equal(logins(), 1);
      age(3600 - 59);
      await snapshots.get(session, ID);
      assert.equal(logins(), 2);
      assert.deepEqual(
        server.seen("GET", ID).map(({ headers }) => headers["x-auth-token"]),
        ["token-1-gAAAAABsecret", "token-1-gAAAAABsecret", "token-2-gAAAAABsecret"],
      );
    });

    it("does not depend on this machine's calendar", async () => {
      // The recorded times are not today's.
      await snapshots.get(session, ID);
      await snapshots.get(session, ID);
      assert.equal(logins(), 1);
    });

    it("happens by fresh() when the token lives shorter than asked for", async () => {
      await session.fresh(3000);
      age(500);
      await session.fresh(3000);
      assert.equal(logins(), 1);
      age(700);
      await session.fresh(3000);
      assert.equal(logins(), 2);
    });

    it("does not happen by fresh() when the token was made just now, though it lives shorter", async () => {
      await session.fresh(7200);
      await session.fresh(7200);
      assert.equal(logins(), 1);
    });

    it("happens once more, and the call is repeated once, when the token is refused", async () => {
      await snapshots.get(session, ID);
      server.on(
        "GET",
        `${cloud.cinder}/snapshots/${ID}`,
        server.recorded("cinder-005-revoked-token"),
        server.recorded("cinder-104-snapshot-show-mv3.71"),
      );
      assert.equal((await snapshots.get(session, ID)).name, "snap-1");
      assert.equal(logins(), 2);
    });

    it("happens once for 50 calls whose token is refused together", async () => {
      await session.projectId();
      let refused = 0;
      server.on("GET", `${cloud.cinder}/snapshots/${ID}`, async ({ headers }) => {
        if (headers["x-auth-token"] !== "token-1-gAAAAABsecret")
          return server.recorded("cinder-104-snapshot-show-mv3.71");
        // Most are refused only after the first has logged in again.
        if (++refused > 3) await new Promise(resolve => setTimeout(resolve, 30));
        return server.recorded("cinder-005-revoked-token");
      });
      await Promise.all(Array.from({ length: 50 }, () => snapshots.get(session, ID)));
      assert.equal(logins(), 2);
    });

    it("gives up when the new token is refused too", async () => {
      server.on("GET", `${cloud.cinder}/snapshots/${ID}`, server.recorded("cinder-005-revoked-token"));
      const error = await apiError(snapshots.get(session, ID));
      assert.ok(isUnauthorized(error));
      assert.equal(server.seen("GET", ID).length, 2);
      assert.equal(logins(), 2);
    });

    it("says what is wrong when the password is", async () => {
      server.on("POST", "/keystone/v3/auth/tokens", server.recorded("keystone-04-token-bad-password"));
      const error = await apiError(session.projectId());
      assert.equal(
        error.message,
        "failed to authenticate with OpenStack: The request you have made requires authentication; " +
          `user "demo" of domain default, project "demo" of domain default at ${server.url}/keystone/v3, by the OS_* variables; ` +
          "check user, password, project and both domains (Keystone does not tell which is wrong), and that the user has a role in the project " +
          "(HTTP 401, keystone, req-80b51ecf-ec49-4d3b-9780-467e115fcd48)",
      );
      assert.ok(isUnauthorized(error));
      assert.equal(logins(), 1);
    });

    it("says that there is no Keystone when something else answers", async () => {
      server.on("POST", "/keystone/v3/auth/tokens", {
        status: 200,
        body: "<html><body>Welcome</body></html>",
      });
      const { message } = await apiError(session.projectId());
      assert.match(
        message,
        /^failed to authenticate with OpenStack: the answer of \S+\/keystone\/v3 is not Keystone's/,
      );
    });

    it("says that nobody answers when nobody does", async () => {
      await cloud.stop();
      const error = await apiError(session.projectId());
      assert.match(
        error.message,
        /^failed to authenticate with OpenStack: no answer from http:\S+ connect ECONNREFUSED/,
      );
      assert.ok(isUnreachable(error));
      cloud = await ScriptedCloud.start();
    });

    it("survives a Keystone that is away for a moment", async () => {
      server.on("POST", "/keystone/v3/auth/tokens", { status: 503 }, { fault: "drop" }, () => cloud.login());
      assert.equal(await session.projectId(), PROJECT);
      assert.equal(logins(), 3);
    });

    it("finds v3 whichever version the auth URL names", async () => {
      for (const path of ["/keystone", "/keystone/", "/keystone/v2.0", "/keystone/v3/"]) {
        const environment = {
          ...cloud.environment,
          OS_AUTH_URL: server.url + path,
          OS_REGION_NAME: `for ${path}`,
        };
        assert.equal(
          await cloud.sessions.open(resolveCloud({ directory: "/" }, environment)).projectId(),
          PROJECT,
        );
      }
      assert.equal(logins(), 4);
    });

    it("tells an unscoped user to choose a project", async () => {
      server.on("POST", "/keystone/v3/auth/tokens", server.recorded("keystone-15-token-unscoped"));
      assert.match(
        await configMessage(snapshots.get(session, ID)),
        /the token is for no project: set openstack:tenantName, OS_PROJECT_NAME/,
      );
    });

    it("takes an application credential without a scope", async () => {
      const environment = {
        OS_AUTH_URL: cloud.environment.OS_AUTH_URL,
        OS_AUTH_TYPE: "v3applicationcredential",
        OS_APPLICATION_CREDENTIAL_ID: "6ebc46015f264d17b07e475b5ce749b5",
        OS_APPLICATION_CREDENTIAL_SECRET: "credential-secret",
        OS_PROJECT_NAME: "left over from an openrc",
      };
      await cloud.sessions.open(resolveCloud({ directory: "/" }, environment)).projectId();
      assert.deepEqual(server.requests[0]?.body, {
        auth: {
          identity: {
            methods: ["application_credential"],
            application_credential: { id: "6ebc46015f264d17b07e475b5ce749b5", secret: "credential-secret" },
          },
        },
      });
    });

    it("rescopes a token", async () => {
      const environment = {
        OS_AUTH_URL: cloud.environment.OS_AUTH_URL,
        OS_AUTH_TYPE: "v3token",
        OS_TOKEN: "given-token",
        OS_PROJECT_ID: PROJECT,
      };
      await cloud.sessions.open(resolveCloud({ directory: "/" }, environment)).projectId();
      assert.deepEqual(server.requests[0]?.body, {
        auth: {
          identity: { methods: ["token"], token: { id: "given-token" } },
          scope: { project: { id: PROJECT } },
        },
      });
    });

    it("asks no Keystone with the type none", async () => {
      const environment = {
        OS_AUTH_TYPE: "none",
        OS_ENDPOINT: `${server.url}/cinder/v3/${PROJECT}`,
        OS_PROJECT_ID: PROJECT,
      };
      const noauth = cloud.sessions.open(resolveCloud({ directory: "/" }, environment));
      await snapshots.get(noauth, ID);
      assert.equal(logins(), 0);
      assert.equal(server.seen("GET", ID)[0]?.headers["x-auth-token"], undefined);
    });
  });

  describe("headers", () => {
    it("name the microversion, the run and the token", async () => {
      await snapshots.get(session, ID);
      const { headers } = server.seen("GET", ID)[0] ?? assert.fail();
      assert.equal(headers["openstack-api-version"], "volume 3.71");
      assert.equal(headers["x-openstack-request-id"], RUN_REQUEST_ID);
      assert.equal(headers["user-agent"], "pulumi-openstack-backup");
      assert.equal(headers["x-auth-token"], "token-1-gAAAAABsecret");
      assert.match(RUN_REQUEST_ID, /^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      assert.ok(
        server.requests.every(request => request.headers["x-openstack-request-id"] === RUN_REQUEST_ID),
      );
    });
  });

  describe("microversions", () => {
    it("are no newer than the cloud's", async () => {
      cloud.newestMicroversion("3.59");
      await snapshots.get(session, ID);
      assert.equal(server.seen("GET", ID)[0]?.headers["openstack-api-version"], "volume 3.59");
      assert.equal(await session.maxMicroversion("block-storage"), "3.59");
    });

    it("are no newer than what this client knows", async () => {
      cloud.newestMicroversion("3.99");
      await snapshots.get(session, ID);
      assert.equal(server.seen("GET", ID)[0]?.headers["openstack-api-version"], "volume 3.71");
      assert.equal(await session.maxMicroversion("block-storage"), "3.99");
    });

    it("are no newer than what the user wants", async () => {
      const environment = { ...cloud.environment, OS_VOLUMEV3_DEFAULT_MICROVERSION: "3.50" };
      await snapshots.get(cloud.sessions.open(resolveCloud({ directory: "/" }, environment)), ID);
      assert.equal(server.seen("GET", ID)[0]?.headers["openstack-api-version"], "volume 3.50");
    });

    it("are found in the root document, which answers 300, when the versioned one is hidden", async () => {
      server.on("GET", "/cinder/v3/", server.recorded("cinder-017-unknown-path-404"));
      server.on("GET", "/cinder/", server.recorded("cinder-001-root-versions-300"));
      assert.equal(await session.maxMicroversion("block-storage"), "3.71");
    });

    it("are asked again when the first question failed", async () => {
      server.on("GET", "/cinder/v3/", { status: 500 }, server.recorded("cinder-300-v3-version-with-token"));
      assert.equal((await apiError(session.maxMicroversion("block-storage"))).status, 500);
      assert.equal(await session.maxMicroversion("block-storage"), "3.71");
    });

    it("are compared as numbers", async () => {
      cloud.newestMicroversion("3.9");
      assert.equal(await session.supports("block-storage", "3.27"), false);
      assert.equal(await session.supports("block-storage", "3.9"), true);
    });
  });

  describe("repeating", () => {
    const good = () => server.recorded("cinder-104-snapshot-show-mv3.71");
    const snapshotPath = () => `${cloud.cinder}/snapshots/${ID}`;
    const newSnapshot = { volumeId: "v", name: "n", metadata: {} };

    for (const status of [429, 502, 503, 504]) {
      it(`happens after ${status} to a GET and a DELETE`, async () => {
        server
          .on("GET", snapshotPath(), { status }, good())
          .on("DELETE", snapshotPath(), { status }, { status: 202 });
        await snapshots.get(session, ID);
        await snapshots.remove(session, ID);
        assert.equal(server.seen("GET", ID).length, 2);
        assert.equal(server.seen("DELETE", ID).length, 2);
      });
    }

    for (const status of [429, 503]) {
      it(`happens after ${status} to a POST, which has done nothing`, async () => {
        const created = server.recorded("cinder-107-snapshot-create-mv3.66-no-force");
        server.on("POST", `${cloud.cinder}/snapshots`, { status }, created);
        await snapshots.create(session, newSnapshot);
        assert.equal(server.seen("POST", "/snapshots").length, 2);
      });
    }

    for (const reply of [{ status: 500 }, { status: 502 }, { status: 504 }, { fault: "drop" as const }]) {
      it(`never happens after ${JSON.stringify(reply)} to a POST, whose outcome is unknown`, async () => {
        server.on("POST", `${cloud.cinder}/snapshots`, reply);
        await apiError(snapshots.create(session, newSnapshot));
        assert.equal(server.seen("POST", "/snapshots").length, 1);
      });
    }

    it("happens to a POST that sets metadata, which can be done twice", async () => {
      const answer = server.recorded("cinder-132-snapshot-metadata-add");
      server.on("POST", `${snapshotPath()}/metadata`, { fault: "drop" }, answer);
      await snapshots.setMetadata(session, ID, { keep: "3" });
      assert.equal(server.seen("POST", "/metadata").length, 2);
    });

    it("happens after a dropped connection to a GET and a DELETE", async () => {
      server.on("GET", snapshotPath(), { fault: "drop" }, good());
      server.on("DELETE", snapshotPath(), { fault: "drop" }, { status: 202 });
      await snapshots.get(session, ID);
      await snapshots.remove(session, ID);
      assert.equal(server.seen("GET", ID).length, 2);
      assert.equal(server.seen("DELETE", ID).length, 2);
    });

    it("ends after so many times as configured, with the last error", async () => {
      server.on("GET", snapshotPath(), {
        status: 503,
        body: "<html><title>503</title>No server is available</html>",
      });
      const error = await apiError(snapshots.get(session, ID));
      assert.equal(error.message, `reading snapshot ${ID}: 503 No server is available (HTTP 503, cinder)`);
      assert.equal(server.seen("GET", ID).length, 3);
    });

    it("waits as long as Retry-After says", async () => {
      server.on("GET", snapshotPath(), { status: 429, headers: { "Retry-After": "1" } }, good());
      const start = clock.call(performance);
      await snapshots.get(session, ID);
      assert.ok(clock.call(performance) - start >= 990);
    });

    it("stops waiting when the call is aborted, for Retry-After or by itself", async () => {
      const patient = cloud.session({ retryDelaySeconds: 30 });
      for (const headers of [{ "Retry-After": "30" }, {}]) {
        server.on("GET", snapshotPath(), { status: 429, headers });
        const abort = new AbortController();
        const pending = rejection(snapshots.get(patient, ID, { signal: abort.signal }));
        setTimeout(() => abort.abort(new Error("enough")), 50);
        assert.deepEqual(await pending, new Error("enough"));
      }
    });

    it("never happens after 400, 403, 404, 409, 500", async () => {
      for (const status of [400, 403, 404, 409, 500]) {
        server.on("GET", snapshotPath(), { status });
        assert.equal((await apiError(snapshots.get(session, ID))).status, status);
      }
      assert.equal(server.seen("GET", ID).length, 5);
    });

    it("never happens after an exhausted quota, though it is a 413 with Retry-After", async () => {
      server.on("POST", `${cloud.cinder}/snapshots`, server.recorded("cinder-403-quota-snapshots-413"));
      const error = await apiError(snapshots.create(session, { ...newSnapshot, volumeId: "abc" }));
      assert.equal(
        error.message,
        "creating snapshot of volume abc: SnapshotLimitExceeded: Maximum number of snapshots allowed (3) exceeded " +
          `(HTTP 413, cinder, ${error.requestId}); free some of the project's quota, or have it raised`,
      );
      assert.match(error.requestId ?? "", /^req-/);
      assert.ok(isOverQuota(error));
      assert.equal(error.kind, "overLimit");
      assert.equal(server.seen("POST", "/snapshots").length, 1);
    });
  });

  describe("redirects", () => {
    it("of a GET to the same host are followed with the token", async () => {
      server.on("GET", `${cloud.cinder}/snapshots/${ID}`, {
        status: 302,
        headers: { Location: `${server.url}${cloud.cinder}/moved` },
      });
      server.on("GET", `${cloud.cinder}/moved`, server.recorded("cinder-104-snapshot-show-mv3.71"));
      assert.equal((await snapshots.get(session, ID)).name, "snap-1");
      assert.equal(server.seen("GET", "/moved")[0]?.headers["x-auth-token"], "token-1-gAAAAABsecret");
    });

    it("of a POST are refused, also to the same host", async () => {
      server.on("POST", `${cloud.cinder}/snapshots`, {
        status: 307,
        headers: { Location: `${server.url}/moved` },
      });
      const error = await apiError(snapshots.create(session, { volumeId: "v", name: "n", metadata: {} }));
      assert.equal(error.status, 307);
      assert.deepEqual(server.seen("POST", "/moved"), []);
    });

    it("to another host are refused and carry nothing there", async () => {
      const stranger = await new ScriptedServer().start();
      try {
        server.on("GET", `${cloud.cinder}/snapshots/${ID}`, {
          status: 302,
          headers: { Location: `${stranger.url}/x` },
        });
        const error = await apiError(snapshots.get(session, ID));
        assert.match(error.detail, new RegExp(`^a redirect to ${stranger.url}, which is not followed`));
        assert.equal(error.status, 302);
        assert.equal(stranger.requests.length, 0);
      } finally {
        await stranger.stop();
      }
    });

    it("of the login are refused: the password goes nowhere else", async () => {
      const stranger = await new ScriptedServer().start();
      try {
        server.on("POST", "/keystone/v3/auth/tokens", {
          status: 307,
          headers: { Location: `${stranger.url}/x` },
        });
        const { message } = await apiError(session.projectId());
        assert.match(message, /^failed to authenticate with OpenStack: a redirect to http/);
        assert.equal(stranger.requests.length, 0);
      } finally {
        await stranger.stop();
      }
    });

    it("in a circle end", async () => {
      server.on("GET", `${cloud.cinder}/snapshots/${ID}`, { status: 302, headers: { Location: ID } });
      assert.equal((await apiError(snapshots.get(session, ID))).status, 302);
      assert.equal(server.seen("GET", ID).length, 6);
    });
  });

  describe("answers", () => {
    const read = (body: unknown, status = 200) => {
      server.on("GET", `${cloud.cinder}/snapshots/${ID}`, { status, body });
      return snapshots.get(session, ID);
    };

    it("keep keys that this client does not know", async () => {
      const reply = server.recorded("cinder-104-snapshot-show-mv3.71").body as { snapshot: object };
      const snapshot = await read({ snapshot: { ...reply.snapshot, new_in_4_0: [1] } });
      assert.deepEqual(snapshot.new_in_4_0, [1]);
      assert.equal(snapshot["os-extended-snapshot-attributes:progress"], "100%");
    });

    it("are refused with the place when they are not what they should be", async () => {
      const { detail, status } = await apiError(
        read({ snapshot: { id: ID, name: "n", status: 7, size: 1 } }),
      );
      assert.equal(
        detail,
        "an unexpected answer: snapshot.status: Invalid input: expected string, received number",
      );
      assert.equal(status, 200);
    });

    it("are refused when they are broken JSON, HTML or empty", async () => {
      assert.equal(
        (await apiError(read('{"snapshot": {'))).detail,
        "an answer that is not JSON where one with content was expected",
      );
      assert.equal(
        (await apiError(read("<html></html>"))).detail,
        "an answer that is not JSON where one with content was expected",
      );
      assert.equal((await apiError(read(""))).detail, "an empty answer where one with content was expected");
    });

    it("are explained when they are errors, whoever wrote them", async () => {
      const explained = async (name: string) => {
        const { body, status } = server.recorded(name);
        const { detail, kind } = await apiError(read(body, status));
        return [status, kind, detail];
      };
      assert.deepEqual(await explained("cinder-121-snapshot-404"), [
        404,
        "itemNotFound",
        "Snapshot 00000000-0000-0000-0000-00000000dead could not be found.",
      ]);
      assert.deepEqual(await explained("cinder-017-unknown-path-404"), [
        404,
        undefined,
        "The resource could not be found.",
      ]);
      assert.deepEqual(await explained("cinder-013-mv-too-high-406"), [
        406,
        "computeFault",
        "Version 3.999 is not supported by the API. Minimum is 3.0 and maximum is 3.71.",
      ]);
      assert.deepEqual(await explained("nova-14b-createBackup-while-task-409"), [
        409,
        "conflictingRequest",
        (
          server.recorded("nova-14b-createBackup-while-task-409").body as {
            conflictingRequest: { message: string };
          }
        ).conflictingRequest.message,
      ]);
      const { detail } = await apiError(
        read("<html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>", 500),
      );
      assert.equal(detail, "502 Bad Gateway nginx");
      assert.equal((await apiError(read("", 500))).detail, "no explanation with status 500");
    });

    it("may hold any letters", async () => {
      const name = "Sicherung „täglich“ 🗄 日本";
      server.on("POST", `${cloud.cinder}/snapshots`, ({ body }) => {
        const { snapshot } = server.recorded("cinder-107-snapshot-create-mv3.66-no-force").body as {
          snapshot: object;
        };
        return {
          status: 202,
          body: { snapshot: { ...snapshot, name: (body as { snapshot: { name: string } }).snapshot.name } },
        };
      });
      const snapshot = await snapshots.create(session, { volumeId: "v", name, metadata: { owner: "ö/ä" } });
      assert.equal(snapshot.name, name);
      assert.deepEqual(server.seen("POST", "/snapshots")[0]?.body, {
        snapshot: {
          volume_id: "v",
          name,
          metadata: { owner: "ö/ä" },
        },
      });
    });

    it("tell errors apart", async () => {
      assert.ok(isNotFound(await apiError(read("", 404))));
      assert.ok(isBadRequest(await apiError(read("", 400))));
      assert.ok(!isNotFound(await apiError(read("", 410))));
    });
  });

  describe("a server that hangs", () => {
    it("is given up after the timeout, a GET after one repetition", async () => {
      const impatient = cloud.session({ timeoutSeconds: 0.1 });
      server.on("GET", `${cloud.cinder}/snapshots/${ID}`, { fault: "hang" });
      const error = await apiError(snapshots.get(impatient, ID));
      assert.equal(error.detail, `${server.url} did not answer within 0.1 s`);
      assert.equal(error.code, "ETIMEDOUT");
      assert.ok(isUnreachable(error));
      assert.equal(server.seen("GET", ID).length, 2);
    });

    it("is left at once when the call is aborted", async () => {
      server.on("GET", `${cloud.cinder}/snapshots/${ID}`, { fault: "hang" });
      const abort = new AbortController();
      const pending = rejection(snapshots.get(session, ID, { signal: abort.signal }));
      setTimeout(() => abort.abort(new Error("stop")), 30);
      assert.deepEqual(await pending, new Error("stop"));
    });

    it("is not asked when the call was aborted before", async () => {
      await session.projectId();
      const before = session.calls;
      const error = await rejection(
        snapshots.get(session, ID, { signal: AbortSignal.abort(new Error("before")) }),
      );
      assert.deepEqual(error, new Error("before"));
      assert.ok(session.calls - before <= 1);
      assert.equal(server.seen("GET", ID).length, 0);
    });

    it("does not take other callers' login away when one is aborted", async () => {
      let release = () => {};
      const held = new Promise<void>(resolve => {
        release = resolve;
      });
      server.on("POST", "/keystone/v3/auth/tokens", async () => {
        await held;
        return cloud.login();
      });
      const abort = new AbortController();
      const aborted = rejection(
        session.request({
          service: "block-storage",
          method: "GET",
          path: "/",
          doing: "x",
          signal: abort.signal,
        }),
      );
      const other = session.projectId();
      abort.abort(new Error("mine only"));
      assert.deepEqual(await aborted, new Error("mine only"));
      release();
      assert.equal(await other, PROJECT);
      assert.equal(logins(), 1);
    });
  });

  it("has as many requests under way as its limit allows, and no more", async () => {
    let release = () => {};
    const full = new Promise<void>(resolve => {
      release = resolve;
    });
    let underWay = 0;
    let most = 0;
    server.on("GET", `${cloud.cinder}/snapshots/${ID}`, async () => {
      most = Math.max(most, ++underWay);
      // Time for a seventeenth to come, if there were one.
      if (underWay === 16) setTimeout(release, 30);
      await full;
      underWay--;
      return server.recorded("cinder-104-snapshot-show-mv3.71");
    });
    await Promise.all(Array.from({ length: 80 }, () => snapshots.get(session, ID)));
    assert.equal(most, 16);
  });

  it("reads a listing of 2500 in three pages and never trusts a link's host", async () => {
    const { snapshot } = server.recorded("cinder-104-snapshot-show-mv3.71").body as { snapshot: object };
    const all = Array.from({ length: 2500 }, (_, index) => ({ ...snapshot, id: `s-${index}` }));
    server.on("GET", `${cloud.cinder}/snapshots/detail`, ({ query }) => {
      const start = all.findIndex(({ id }) => id === query.get("marker")) + 1;
      const page = all.slice(start, start + Number(query.get("limit")));
      const href = `http://internal.invalid:8776/v3/x/snapshots/detail?limit=1000&marker=${page.at(-1)?.id}`;
      return {
        body: { snapshots: page, ...(page.length === 1000 && { snapshots_links: [{ rel: "next", href }] }) },
      };
    });
    const listed = await snapshots.list(session);
    assert.deepEqual(
      listed.map(({ id }) => id),
      all.map(({ id }) => id),
    );
    assert.deepEqual(
      server.seen("GET", "/detail").map(({ query }) => query.get("marker")),
      [null, "s-999", "s-1999"],
    );
  });

  it("reads on after a full last page, which is followed by an empty one", async () => {
    const { snapshot } = server.recorded("cinder-104-snapshot-show-mv3.71").body as { snapshot: object };
    const all = Array.from({ length: 1000 }, (_, index) => ({ ...snapshot, id: `s-${index}` }));
    server.on(
      "GET",
      `${cloud.cinder}/snapshots/detail`,
      { body: { snapshots: all } },
      { body: { snapshots: [] } },
    );
    assert.equal((await snapshots.list(session)).length, 1000);
    assert.deepEqual(
      server.seen("GET", "/detail").map(({ query }) => query.get("marker")),
      [null, "s-999"],
    );
  });

  it("ends a listing that goes round in a circle", async () => {
    const { snapshot } = server.recorded("cinder-104-snapshot-show-mv3.71").body as { snapshot: object };
    const href = `${server.url}${cloud.cinder}/snapshots/detail?limit=1000&marker=same`;
    server.on("GET", `${cloud.cinder}/snapshots/detail`, {
      body: { snapshots: [snapshot], snapshots_links: [{ rel: "next", href }] },
    });
    const error = await apiError(snapshots.list(session));
    assert.equal(error.detail, "the listing goes round in a circle after 1 items");
    assert.equal(server.seen("GET", "/detail").length, 2);
  });

  it("shows no password and no token in any error", async () => {
    const errors: unknown[] = [];
    const keep = async (promise: Promise<unknown>) => void errors.push(await rejection(promise));
    server.on("POST", "/keystone/v3/auth/tokens", ({ body }) => ({
      status: 400,
      // Keystone quotes what it could not understand.
      body: {
        error: { code: 400, message: `Failed validating: ${JSON.stringify(body)}`, title: "Bad Request" },
      },
    }));
    await keep(session.projectId());
    server.on("POST", "/keystone/v3/auth/tokens", { fault: "drop" });
    await keep(session.projectId());
    server.on("POST", "/keystone/v3/auth/tokens", server.recorded("keystone-04-token-bad-password"));
    await keep(session.projectId());
    server.on("POST", "/keystone/v3/auth/tokens", () => cloud.login());
    const path = `${cloud.cinder}/snapshots/${ID}`;
    server.on("GET", path, ({ headers }) => ({
      status: 400,
      body: { badRequest: { message: headers["x-auth-token"] } },
    }));
    await keep(snapshots.get(session, ID));
    server.on("GET", path, { fault: "drop" });
    await keep(snapshots.get(session, ID));
    server.on("GET", path, { status: 200, body: "nonsense" });
    await keep(snapshots.get(session, ID));
    await keep(volumes.get(cloud.session({ timeoutSeconds: 0.05 }), "unscripted"));
    server.on("GET", path, { fault: "hang" });
    await keep(snapshots.get(session, ID, { signal: AbortSignal.timeout(30) }));
    assert.equal(errors.length, 8);
    for (const error of [...errors, session, cloud.config()]) {
      const shown = [
        inspect(error, { depth: 10, showHidden: true }),
        JSON.stringify(error),
        String(error),
        error instanceof Error ? `${error.stack}${inspect(error.cause)}` : "",
      ].join("\n");
      assert.doesNotMatch(shown, /gAAAAABsecret/);
      assert.ok(!shown.includes(PASSWORD), shown);
    }
  });

  it("sends and reads what a caller of its own describes", async () => {
    server.on("PUT", `${cloud.cinder}/things/1`, {
      status: 200,
      body: { thing: "ok" },
      headers: { "X-Compute-Request-Id": "req-9" },
    });
    const answer = await session.request({
      service: "block-storage",
      method: "PUT",
      path: "/things/1",
      query: { a: "x y&z", b: 2, c: undefined },
      body: { some: "thing" },
      schema: z.looseObject({ thing: z.string() }),
      doing: "putting thing 1",
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.requestId, "req-9");
    assert.deepEqual(answer.body, { thing: "ok" });
    const [seen] = server.seen("PUT", "/things/1");
    assert.equal(seen?.query.get("a"), "x y&z");
    assert.equal(seen?.query.has("c"), false);
    assert.equal(seen?.headers["openstack-api-version"], undefined);
    assert.deepEqual(seen?.body, { some: "thing" });
  });
});
