import assert from "node:assert/strict";
import type { TLSSocket } from "node:tls";
import { inspect } from "node:util";
import { isUnreachable, resolveCloud, type Session, Sessions, snapshots } from "../../../provider/openstack";
import { Certificates } from "./certificates";
import { apiError } from "./rejection";
import { ScriptedCloud } from "./scripted-cloud";
import { ScriptedProxy } from "./scripted-proxy";
import { PROJECT, ScriptedServer } from "./scripted-server";

describe("Transport", () => {
  let certificates: Certificates;
  let cloud: ScriptedCloud;

  before(() => {
    certificates = new Certificates();
  });
  after(() => certificates.remove());
  afterEach(() => cloud.stop());

  const session = (variables: Record<string, string> = {}): Session =>
    new Sessions().open({
      ...resolveCloud({ directory: "/" }, { ...cloud.environment, ...variables }),
      retryDelaySeconds: 0.001,
      timeoutSeconds: 5,
    });

  describe("https", () => {
    const start = async (options = {}) => {
      const key = certificates.read("server.key");
      const server = new ScriptedServer({ key, cert: certificates.read("server.pem"), ...options });
      cloud = new ScriptedCloud(await server.start());
    };

    it("accepts a certificate of the CA in cacert, given as a file or as text", async () => {
      await start();
      assert.equal(await session({ OS_CACERT: certificates.caFile }).projectId(), PROJECT);
      assert.equal(await session({ OS_CACERT: certificates.read("ca.pem") }).projectId(), PROJECT);
    });

    it("refuses an unknown CA at once and names the remedy", async () => {
      await start();
      const error = await apiError(session().projectId());
      assert.match(
        error.message,
        /^failed to authenticate with OpenStack: no answer from https:\S+ its certificate is not trusted \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\); set cacert to the CA that signed it;/,
      );
      assert.ok(isUnreachable(error));
      assert.equal(cloud.server.requests.length, 0);
    });

    it("refuses a certificate for another name", async () => {
      await start();
      const url = cloud.environment.OS_AUTH_URL?.replace("127.0.0.1", "localhost") ?? "";
      const { code } = await apiError(
        session({ OS_CACERT: certificates.caFile, OS_AUTH_URL: url }).projectId(),
      );
      assert.equal(code, "ERR_TLS_CERT_ALTNAME_INVALID");
    });

    it("accepts anything when told to be insecure", async () => {
      await start();
      assert.equal(await session({ OS_INSECURE: "true" }).projectId(), PROJECT);
    });

    it("shows a client certificate, its key in its own file or in the same", async () => {
      const names: unknown[] = [];
      await start({ ca: certificates.read("ca.pem"), requestCert: true, rejectUnauthorized: true });
      cloud.server.onConnection(socket => names.push((socket as TLSSocket).getPeerCertificate().subject?.CN));
      const ca = { OS_CACERT: certificates.caFile };
      const { code } = await apiError(session(ca).projectId());
      assert.match(code ?? "", /ERR_SSL|ECONNRESET|EPIPE/);
      const ownFile = {
        ...ca,
        OS_CERT: certificates.path("client.pem"),
        OS_KEY: certificates.path("client.key"),
      };
      assert.equal(await session(ownFile).projectId(), PROJECT);
      assert.equal(await session({ ...ca, OS_CERT: certificates.path("both.pem") }).projectId(), PROJECT);
      assert.deepEqual(names, ["client", "client"]);
    });

    it("names a certificate file that cannot be read", async () => {
      await start();
      assert.throws(() => session({ OS_CACERT: "/nonexistent/ca.pem" }), {
        name: "ConfigError",
        message: "the CA bundle (cacert) cannot be read: /nonexistent/ca.pem (ENOENT)",
      });
    });
  });

  describe("proxy", () => {
    let proxy: ScriptedProxy;
    beforeEach(async () => {
      proxy = await new ScriptedProxy().start();
    });
    afterEach(() => proxy.stop());

    const startHttps = async () => {
      const key = certificates.read("server.key");
      cloud = new ScriptedCloud(
        await new ScriptedServer({ key, cert: certificates.read("server.pem") }).start(),
      );
    };

    it("tunnels https by CONNECT and sees neither path nor token", async () => {
      await startHttps();
      const tunnelled = session({
        OS_CACERT: certificates.caFile,
        https_proxy: `http://user:proxy-pass%21@127.0.0.1:${proxy.port}`,
      });
      assert.equal(await tunnelled.projectId(), PROJECT);
      const { host } = new URL(cloud.server.url);
      assert.deepEqual(proxy.seen, [`CONNECT ${host}`]);
      assert.deepEqual(proxy.authorizations, [`Basic ${Buffer.from("user:proxy-pass!").toString("base64")}`]);
    });

    it("keeps a tunnel for reading", async () => {
      await startHttps();
      cloud.server.on("GET", /snapshots/, cloud.server.recorded("cinder-104-snapshot-show-mv3.71"));
      const https_proxy = `http://127.0.0.1:${proxy.port}`;
      const tunnelled = session({ OS_CACERT: certificates.caFile, https_proxy });
      for (let index = 0; index < 5; index++) await snapshots.get(tunnelled, "x");
      // One for the login, one for all the reading.
      assert.equal(proxy.seen.length, 2);
    });

    it("checks the certificate through the tunnel too", async () => {
      await startHttps();
      const https_proxy = `http://127.0.0.1:${proxy.port}`;
      const { code } = await apiError(session({ https_proxy }).projectId());
      assert.equal(code, "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
      const url = cloud.environment.OS_AUTH_URL?.replace("127.0.0.1", "localhost") ?? "";
      const misnamed = session({ OS_CACERT: certificates.caFile, OS_AUTH_URL: url, https_proxy });
      assert.equal((await apiError(misnamed.projectId())).code, "ERR_TLS_CERT_ALTNAME_INVALID");
    });

    it("that refuses the tunnel is named", async () => {
      await startHttps();
      proxy.refusal = 407;
      const https_proxy = `http://user:proxy-pass@127.0.0.1:${proxy.port}`;
      const error = await apiError(session({ https_proxy }).projectId());
      const { host } = new URL(cloud.server.url);
      assert.match(
        error.message,
        new RegExp(`: the proxy http://127.0.0.1:${proxy.port} refuses a tunnel to ${host} with HTTP 407;`),
      );
      assert.doesNotMatch(inspect(error, { depth: 10 }), /proxy-pass|Basic /);
      assert.equal(proxy.seen.length, 1);
    });

    it("passes http on", async () => {
      cloud = await ScriptedCloud.start();
      await session({ http_proxy: `http://127.0.0.1:${proxy.port}` }).projectId();
      assert.deepEqual(proxy.seen, [`POST ${cloud.server.url}/keystone/v3/auth/tokens`]);
    });

    it("is not used for hosts in no_proxy", async () => {
      cloud = await ScriptedCloud.start();
      for (const except of [
        "127.0.0.1",
        "*",
        "example.com, 127.0.0.0/8",
        `127.0.0.1:${new URL(cloud.server.url).port}`,
      ]) {
        const direct = session({ HTTP_PROXY: `127.0.0.1:${proxy.port}`, NO_PROXY: except });
        assert.equal(await direct.projectId(), PROJECT);
      }
      assert.deepEqual(proxy.seen, []);
      await session({
        HTTP_PROXY: `127.0.0.1:${proxy.port}`,
        NO_PROXY: "127.0.0.1:1,10.0.0.0/8",
      }).projectId();
      assert.equal(proxy.seen.length, 1);
    });

    it("that refuses or is away is an error without its password", async () => {
      cloud = await ScriptedCloud.start();
      const { port } = proxy;
      await proxy.stop();
      const away = session({ http_proxy: `http://user:proxy-pass@127.0.0.1:${port}` });
      const error = await apiError(away.projectId());
      assert.equal(error.code, "ECONNREFUSED");
      assert.doesNotMatch(inspect(error, { depth: 10 }), /proxy-pass|Basic /);
      assert.doesNotMatch(inspect(away, { depth: 10, showHidden: true }), /proxy-pass/);
      proxy = await new ScriptedProxy().start();
    });
  });

  it("keeps connections for reading and opens a new one for each creation", async () => {
    cloud = await ScriptedCloud.start();
    const { server } = cloud;
    server.on("GET", /snapshots/, server.recorded("cinder-104-snapshot-show-mv3.71"));
    server.on(
      "POST",
      `${cloud.cinder}/snapshots`,
      server.recorded("cinder-107-snapshot-create-mv3.66-no-force"),
    );
    const one = session();
    await snapshots.get(one, "x");
    let connections = 0;
    server.onConnection(() => connections++);
    for (let index = 0; index < 5; index++) await snapshots.get(one, "x");
    assert.equal(connections, 0);
    for (let index = 0; index < 3; index++)
      await snapshots.create(one, { volumeId: "v", name: "n", metadata: {} });
    assert.equal(connections, 3);
  });
});
