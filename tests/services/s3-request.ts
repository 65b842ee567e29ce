import { createHash, createHmac } from "node:crypto";
import { request } from "node:https";

/** The server, the keys to it and the authority its certificate is checked against (PEM text). */
export interface S3Target {
  url: string;
  accessKey: string;
  secretKey: string;
  ca: string;
}

/** A request: `path` starts with the bucket, `query` is in the order that it is signed in (by name). */
export interface S3Request {
  method: "GET" | "PUT" | "DELETE" | "HEAD";
  path: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: string;
}

/** Answer of an S3 server; `headers` have lower-case names. */
export interface S3Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const hmac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();

/** Sends a request signed with AWS Signature Version 4; answers errors of the server too. */
export function s3Request(target: S3Target, call: S3Request): Promise<S3Answer> {
  const { host } = new URL(target.url);
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const body = call.body ?? "";
  const headers: Record<string, string> = {
    ...call.headers,
    host,
    // some operations insist on a checksum
    "content-md5": createHash("md5").update(body).digest("base64"),
    "x-amz-content-sha256": sha256(body),
    "x-amz-date": time,
  };
  const names = Object.keys(headers).sort();
  const query = Object.entries(call.query ?? {})
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join("&");
  const canonical = [
    call.method,
    call.path,
    query,
    ...names.map(name => `${name}:${headers[name]}`),
    "",
    names.join(";"),
    sha256(body),
  ].join("\n");
  const scope = `${time.slice(0, 8)}/us-east-1/s3/aws4_request`;
  const key = scope
    .split("/")
    .reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${target.secretKey}`);
  const signature = hmac(key, ["AWS4-HMAC-SHA256", time, scope, sha256(canonical)].join("\n")).toString(
    "hex",
  );
  const authorization = `AWS4-HMAC-SHA256 Credential=${target.accessKey}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  return new Promise((resolve, reject) => {
    const sent = request(
      `${target.url}${call.path}${query === "" ? "" : `?${query}`}`,
      {
        method: call.method,
        ca: target.ca,
        headers: { ...headers, authorization, "content-length": Buffer.byteLength(body) },
        agent: false,
        timeout: 10_000,
      },
      answer => {
        const chunks: Buffer[] = [];
        answer.on("data", chunk => chunks.push(chunk));
        answer.on("end", () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    sent.on("error", reject);
    sent.on("timeout", () => sent.destroy(new Error(`${call.method} ${call.path}: no answer within 10 s`)));
    sent.end(body);
  });
}
