import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

/** An object of Kubernetes, as far as anything here looks at one. */
export interface Row {
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    uid: string;
    resourceVersion: string;
    creationTimestamp?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: it has what was posted
  [field: string]: any;
}

const kinds: Record<string, string> = {
  jobs: "Job",
  pods: "Pod",
  events: "Event",
  secrets: "Secret",
  persistentvolumes: "PersistentVolume",
  persistentvolumeclaims: "PersistentVolumeClaim",
  csidrivers: "CSIDriver",
  csinodes: "CSINode",
  storageclasses: "StorageClass",
  volumeattachments: "VolumeAttachment",
  selfsubjectaccessreviews: "SelfSubjectAccessReview",
};

/**
 * The part of an API server that the mover calls, with controllers that bind each claim at once and run each Job's script
 * on this machine, in the folder that stands for its volume. Its words are those that a real one was recorded with; what
 * it cannot show, the suite on a real node does.
 */
export class FakeCluster {
  /** Requests by method and path, without the watches' queries. */
  readonly requests: string[] = [];
  /** Answers in place of its own: by "METHOD kind". */
  readonly refusals = new Map<string, { code: number; message: string; reason: string }>();
  /** Rights that the account lacks, as "verb resource" or "verb resource/subresource". */
  readonly denied = new Set<string>();
  /** Namespaces that are not there. */
  readonly missing = new Set<string>();
  /** What becomes of a pod in place of running it. */
  become: ((pod: Row) => Record<string, unknown> | undefined) | undefined;
  readonly kubeconfig: string;
  readonly #rows = new Map<string, Row>();
  readonly #watchers = new Set<{ kind: string; response: ServerResponse }>();
  readonly #logs = new Map<string, { text: string; ended: boolean; readers: Set<ServerResponse> }>();
  readonly #running = new Map<string, ChildProcess>();
  readonly #directory = mkdtempSync(path.join(tmpdir(), "osbackup-cluster-"));
  #version = 1;

  private constructor(private readonly server: Server) {
    this.kubeconfig = path.join(this.#directory, "config");
    const { port } = server.address() as AddressInfo;
    writeFileSync(
      this.kubeconfig,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [
          { name: "c", cluster: { server: `http://127.0.0.1:${port}`, "insecure-skip-tls-verify": true } },
        ],
        users: [{ name: "u", user: { token: "a-token-nobody-must-see" } }],
        contexts: [{ name: "x", context: { cluster: "c", user: "u", namespace: "backups" } }],
        "current-context": "x",
      }),
    );
    this.put("csidrivers", { metadata: { name: "cinder.csi.openstack.org" } });
    this.put("csinodes", {
      metadata: { name: "n" },
      spec: { drivers: [{ name: "cinder.csi.openstack.org" }] },
    });
    server.on("request", (request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<FakeCluster> {
    const server = createServer();
    await new Promise<void>(listening => server.listen(0, "127.0.0.1", listening));
    return new FakeCluster(server);
  }

  async stop(): Promise<void> {
    for (const child of this.#running.values()) child.kill("SIGKILL");
    this.server.closeAllConnections();
    await new Promise(closed => this.server.close(closed));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  rows(kind: string): Row[] {
    return [...this.#rows].flatMap(([key, row]) => (key.startsWith(`${kind}/`) ? [row] : []));
  }

  remove(kind: string, name: string): void {
    const row = this.#rows.get(`${kind}/${name}`);
    if (!row) return;
    this.#rows.delete(`${kind}/${name}`);
    this.#tell(kind, "DELETED", row);
    if (kind === "jobs")
      for (const pod of this.rows("pods"))
        if (pod.metadata.labels?.["batch.kubernetes.io/controller-uid"] === row.metadata.uid)
          this.remove("pods", pod.metadata.name);
    if (kind === "pods") this.#running.get(name)?.kill("SIGKILL");
  }

  /** A line in the log of each pod. */
  say(line: string): void {
    for (const log of this.#logs.values()) for (const reader of log.readers) reader.write(`${line}\n`);
  }

  /** A warning of the kubelet on a pod. */
  warn(pod: Row, reason: string, message: string): void {
    this.put("events", {
      metadata: { name: `${pod.metadata.name}.${this.#version}`, namespace: pod.metadata.namespace },
      type: "Warning",
      reason,
      message,
      involvedObject: { kind: "Pod", uid: pod.metadata.uid, name: pod.metadata.name },
    });
  }

  /** Makes a row, or changes it. */
  put(kind: string, given: object): Row {
    const { metadata, ...rest } = given as Row;
    const row: Row = {
      ...rest,
      kind: kinds[kind] as string,
      metadata: {
        creationTimestamp: new Date().toISOString(),
        ...metadata,
        uid: metadata.uid ?? randomUUID(),
        resourceVersion: `${++this.#version}`,
      },
    };
    const key = `${kind}/${row.metadata.name}`;
    const known = this.#rows.has(key);
    this.#rows.set(key, row);
    this.#tell(kind, known ? "MODIFIED" : "ADDED", row);
    return row;
  }

  #tell(kind: string, type: string, object: Row): void {
    for (const watcher of this.#watchers)
      if (watcher.kind === kind) watcher.response.write(`${JSON.stringify({ type, object })}\n`);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "", "http://cluster");
    const { method = "GET" } = request;
    const parts = url.pathname.split("/").filter(Boolean);
    const at = parts.findIndex(part => part in kinds);
    const [kind = "", name, sub] = parts.slice(at);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const asked = ["watch", "dryRun"].filter(one => url.searchParams.has(one)).map(one => `?${one}`);
    this.requests.push(`${method} ${url.pathname}${asked.join("")}`);
    const send = (code: number, body: object) =>
      response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body));
    const refuse = (code: number, reason: string, message: string) =>
      send(code, { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message });
    const namespace = /\/namespaces\/([^/]+)\//.exec(url.pathname)?.[1] ?? "";
    if (method === "POST" && this.missing.has(namespace))
      return void refuse(404, "NotFound", `namespaces "${namespace}" not found`);
    if (url.searchParams.has("dryRun")) {
      const given = JSON.parse(Buffer.concat(chunks).toString()) as Row;
      if (this.#rows.has(`${kind}/${given.metadata.name}`))
        return void refuse(409, "AlreadyExists", `${kind} "${given.metadata.name}" already exists`);
      return void send(201, given);
    }
    if (kind === "selfsubjectaccessreviews") {
      const review = JSON.parse(Buffer.concat(chunks).toString());
      const { verb, resource, subresource } = review.spec.resourceAttributes;
      const right = `${verb} ${subresource ? `${resource}/${subresource}` : resource}`;
      return void send(201, { ...review, status: { allowed: !this.denied.has(right) } });
    }
    const refusal = this.refusals.get(`${method} ${kind}`);
    if (refusal) return void refuse(refusal.code, refusal.reason, refusal.message);
    if (sub === "log") return this.#log(name as string, url.searchParams.get("follow") === "true", response);
    if (url.searchParams.has("watch")) {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      const watcher = { kind, response };
      this.#watchers.add(watcher);
      response.on("close", () => this.#watchers.delete(watcher));
      return;
    }
    const row = name === undefined ? undefined : this.#rows.get(`${kind}/${name}`);
    if (method === "POST") {
      const given = JSON.parse(Buffer.concat(chunks).toString()) as Row;
      if (this.#rows.has(`${kind}/${given.metadata.name}`))
        return void refuse(409, "AlreadyExists", `${kind} "${given.metadata.name}" already exists`);
      const made = this.put(kind, {
        ...given,
        ...(kind.startsWith("persistentvolume") ? { status: { phase: "Bound" } } : {}),
      });
      send(201, made);
      if (kind === "jobs") this.#run(made);
      return;
    }
    if (name === undefined)
      return void send(200, {
        kind: "List",
        apiVersion: "v1",
        metadata: { resourceVersion: `${this.#version}` },
        items: this.#selected(kind, url),
      });
    if (!row) return void refuse(404, "NotFound", `${kind} "${name}" not found`);
    if (method === "DELETE") this.remove(kind, name);
    send(200, row);
  }

  #selected(kind: string, url: URL): Row[] {
    const wanted = (url.searchParams.get("labelSelector") ?? "").split(",").filter(Boolean);
    return this.rows(kind).filter(({ metadata }) =>
      wanted.every(one => metadata.labels?.[one.split("=")[0] as string] === one.split("=")[1]),
    );
  }

  /** The controllers and the kubelet. */
  #run(job: Row): void {
    const name = `${job.metadata.name}-abcde`;
    const { template } = job.spec;
    const pod = this.put("pods", {
      metadata: {
        name,
        namespace: job.metadata.namespace,
        labels: { ...template.metadata.labels, "batch.kubernetes.io/controller-uid": job.metadata.uid },
      },
      spec: { ...template.spec, nodeName: "n" },
      status: { phase: "Pending" },
    });
    const become = this.become?.(pod);
    if (become?.phase === "Running") this.#logs.set(name, { text: "", ended: false, readers: new Set() });
    if (become) return void this.put("pods", { ...pod, status: become });
    const [container] = template.spec.containers;
    const env: Record<string, string> = { PATH: process.env.PATH ?? "" };
    for (const { secretRef } of container.envFrom)
      Object.assign(env, this.#rows.get(`secrets/${secretRef.name}`)?.stringData);
    for (const { name: variable, value } of container.env) env[variable] = value;
    // the pod's own folder
    for (const variable of ["HOME", "TMPDIR", "RESTIC_CACHE_DIR"]) env[variable] = this.#directory;
    const [program, ...args] = container.command;
    const log = { text: "", ended: false, readers: new Set<ServerResponse>() };
    this.#logs.set(name, log);
    const status = (phase: string, state: object) =>
      this.#rows.has(`pods/${name}`) &&
      this.put("pods", { ...pod, status: { phase, containerStatuses: [{ name: container.name, state }] } });
    const child = spawn(program, args, { cwd: container.workingDir, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#running.set(name, child);
    status("Running", { running: {} });
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        log.text += chunk;
        for (const reader of log.readers) reader.write(chunk);
      });
    child.on("close", exitCode => {
      log.ended = true;
      for (const reader of log.readers) reader.end();
      status(exitCode === 0 ? "Succeeded" : "Failed", { terminated: { exitCode, reason: "Completed" } });
    });
  }

  #log(pod: string, follow: boolean, response: ServerResponse): void {
    const log = this.#logs.get(pod);
    response.writeHead(200, { "content-type": "text/plain" });
    response.write(log?.text ?? "");
    if (!follow || !log || log.ended) response.end();
    else log.readers.add(response);
  }
}
