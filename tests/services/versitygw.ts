import { mkdir, readFile } from "node:fs/promises";
import { makeCertificates } from "./certificates";
import { installGoProgram } from "./install";
import { freePort, inRun, type Run, type ServiceHandle } from "./run";
import { type S3Answer, type S3Request, s3Request } from "./s3-request";

/** An S3 server with TLS; `environment` holds the AWS_* keys. */
export interface S3Handle extends ServiceHandle {
  /** The authority that has signed its certificate: restic's --cacert. */
  caFile: string;
  /** Folder of the objects: one folder a bucket. */
  dataDirectory: string;
  /** The address of a repository as restic takes it; restic makes the bucket if it is missing. */
  repository(bucket: string, prefix?: string): string;
  /** Makes a bucket; `lockDays` locks each new object in it (COMPLIANCE) for so long. */
  createBucket(name: string, options?: { lockDays?: number }): Promise<void>;
  /** Sends a signed request; answers errors too. */
  request(call: S3Request): Promise<S3Answer>;
}

/** Builds the gateway from the Go module proxy. */
export async function install(): Promise<string> {
  return installGoProgram("github.com/versity/versitygw/cmd/versitygw", "v1.8.0");
}

/** Starts an empty server over a folder, with versioning and object lock. */
export function start(options: { run?: Run; persistent?: boolean } = {}): Promise<S3Handle> {
  return inRun(options.run, options.persistent ?? false, async run => {
    const program = await install();
    const { caFile, certificateFile, keyFile } = await makeCertificates(run, "versitygw");
    const port = await freePort();
    const url = `https://127.0.0.1:${port}`;
    const dataDirectory = run.path("state/s3");
    const versions = run.path("state/s3-versions");
    for (const folder of [dataDirectory, versions]) await mkdir(folder, { recursive: true });
    const target = {
      url,
      accessKey: "osbackup",
      secretKey: "osbackup-secret",
      ca: await readFile(caFile, "utf8"),
    };
    run.spawn(
      "versitygw",
      {
        program,
        // Paths are absolute throughout, as it changes its directory.
        args: [
          ...["--port", `127.0.0.1:${port}`, "--cert", certificateFile, "--key", keyFile],
          ...["posix", "--versioning-dir", versions, dataDirectory],
        ],
        environment: { ROOT_ACCESS_KEY_ID: target.accessKey, ROOT_SECRET_ACCESS_KEY: target.secretKey },
      },
      "server",
    );
    await run.ready(
      "versitygw",
      20,
      async () => (await s3Request(target, { method: "GET", path: "/" })).status === 200,
    );
    return {
      url,
      environment: { AWS_ACCESS_KEY_ID: target.accessKey, AWS_SECRET_ACCESS_KEY: target.secretKey },
      logs: [run.logPath("versitygw")],
      stop: () => run.stopProcesses(["versitygw"]),
      caFile,
      dataDirectory,
      repository: (bucket, prefix) => `s3:${url}/${bucket}${prefix === undefined ? "" : `/${prefix}`}`,
      async createBucket(name, { lockDays } = {}) {
        const send = async (call: S3Request) => {
          const answer = await s3Request(target, call);
          if (answer.status >= 300)
            throw new Error(`creating bucket ${name}: HTTP ${answer.status} ${answer.body}`);
        };
        const locked = lockDays === undefined ? {} : { "x-amz-bucket-object-lock-enabled": "true" };
        await send({ method: "PUT", path: `/${name}`, headers: locked });
        if (lockDays === undefined) return;
        const rule = `<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>${lockDays}</Days></DefaultRetention></Rule>`;
        const body = `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>${rule}</ObjectLockConfiguration>`;
        await send({ method: "PUT", path: `/${name}`, query: { "object-lock": "" }, body });
      },
      request: call => s3Request(target, call),
    };
  });
}
