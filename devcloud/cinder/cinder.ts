import type { Cloud } from "../cloud";
import type { HttpRequest, Reply } from "../http";
import type { Token } from "../identities";
import { identityPath, type Keystone, volumePath } from "../keystone";
import * as attachments from "./attachments";
import type { Call, Handler } from "./call";
import { badRequest, CinderError, erred, errorReply, malformed, unroutedReply } from "./errors";
import * as messages from "./messages";
import * as metadata from "./metadata";
import * as quotas from "./quotas";
import * as snapshots from "./snapshots";
import * as surroundings from "./surroundings";
import * as volumes from "./volumes";

/** Method, path below the project, the microversion it came with (3.x), and what answers it. Fixed words come first. */
type Route = [method: string, path: string, since: number, handler: Handler];

const routes: Route[] = [
  ["GET", "volumes", 0, volumes.listVolumes],
  ["POST", "volumes", 0, volumes.createVolume],
  ["GET", "volumes/detail", 0, volumes.listVolumesDetailed],
  ["GET", "volumes/summary", 12, volumes.summarizeVolumes],
  ["GET", "volumes/:id", 0, volumes.showVolume],
  ["PUT", "volumes/:id", 0, volumes.updateVolume],
  ["DELETE", "volumes/:id", 0, volumes.deleteVolume],
  ["POST", "volumes/:id/action", 0, volumes.actOnVolume],
  ["GET", "snapshots", 0, snapshots.listSnapshots],
  ["POST", "snapshots", 0, snapshots.createSnapshot],
  ["GET", "snapshots/detail", 0, snapshots.listSnapshotsDetailed],
  ["GET", "snapshots/:id", 0, snapshots.showSnapshot],
  ["PUT", "snapshots/:id", 0, snapshots.updateSnapshot],
  ["DELETE", "snapshots/:id", 0, snapshots.deleteSnapshot],
  ["POST", "snapshots/:id/action", 0, snapshots.actOnSnapshot],
  ["GET", ":kind(volumes|snapshots)/:id/metadata", 0, metadata.showMetadata],
  ["POST", ":kind(volumes|snapshots)/:id/metadata", 0, metadata.mergeMetadata],
  ["PUT", ":kind(volumes|snapshots)/:id/metadata", 0, metadata.replaceMetadata],
  ["GET", ":kind(volumes|snapshots)/:id/metadata/:key", 0, metadata.showMetadataItem],
  ["PUT", ":kind(volumes|snapshots)/:id/metadata/:key", 0, metadata.putMetadataItem],
  ["DELETE", ":kind(volumes|snapshots)/:id/metadata/:key", 0, metadata.deleteMetadataItem],
  ["GET", "attachments", 27, attachments.listAttachments],
  ["POST", "attachments", 27, attachments.createAttachment],
  ["GET", "attachments/detail", 27, attachments.listAttachmentsDetailed],
  ["GET", "attachments/:id", 27, attachments.showAttachment],
  ["PUT", "attachments/:id", 27, attachments.updateAttachment],
  ["DELETE", "attachments/:id", 27, attachments.deleteAttachment],
  ["POST", "attachments/:id/action", 27, attachments.actOnAttachment],
  ["GET", "messages", 3, messages.listMessages],
  ["GET", "messages/:id", 3, messages.showMessage],
  ["DELETE", "messages/:id", 3, messages.deleteMessage],
  ["GET", "limits", 0, quotas.showLimits],
  ["GET", "os-quota-sets/:project", 0, quotas.showQuota],
  ["PUT", "os-quota-sets/:project", 0, quotas.updateQuota],
  ["GET", "types", 0, surroundings.listTypes],
  ["GET", "types/:id", 0, surroundings.showType],
  ["GET", "os-availability-zone", 0, surroundings.listZones],
  ["GET", "extensions", 0, surroundings.listExtensions],
  ["GET", "os-services", 0, surroundings.listServices],
  ["GET", "scheduler-stats/get_pools", 0, surroundings.listPools],
  ["GET", "manageable_snapshots", 8, surroundings.listManageableSnapshots],
  ["GET", "os-volume-transfer", 0, surroundings.listTransfers],
  ["POST", "os-volume-transfer", 0, surroundings.createTransfer],
  ["GET", "os-volume-transfer/:id", 0, surroundings.showTransfer],
  ["DELETE", "os-volume-transfer/:id", 0, surroundings.deleteTransfer],
  ["GET", "backups", 0, surroundings.listBackups],
  ["POST", "backups", 0, surroundings.createBackup],
  ["GET", "backups/detail", 0, surroundings.listBackupsDetailed],
  ["GET", "backups/:id", 0, surroundings.showBackup],
  ["DELETE", "backups/:id", 0, surroundings.deleteBackup],
];

const compiled = routes.map(([method, path, since, handler]) => ({
  method,
  pattern: new RegExp(
    `^${path.replace(/:(\w+)(\([^)]*\))?/g, (_, name: string, choices?: string) => `(?<${name}>${choices ?? "[^/]+"})`)}$`,
  ),
  since,
  handler,
}));

/** The highest microversion, 3.x. */
const newest = 71;

/** Block storage API v3 with microversions 3.0 to the newest. */
export class Cinder {
  private readonly cloud: Cloud;
  private readonly keystone: Keystone;
  private readonly newestMinor: number;

  /** `microversion` is the highest it knows, "3.71" or less. */
  constructor(cloud: Cloud, keystone: Keystone, microversion = `3.${newest}`) {
    this.cloud = cloud;
    this.keystone = keystone;
    this.newestMinor = Math.min(newest, Number(microversion.split(".")[1]));
  }

  async handle(request: HttpRequest): Promise<Reply> {
    const path = request.path.slice(volumePath.length);
    const base = `${request.origin}${volumePath}`;
    if (path === "" || path === "/") return this.versioned(request, 0, this.versionDocument(base, 300));
    if (path === "/v3") {
      return {
        status: 302,
        headers: { Location: `${base}/v3/`, "Content-Type": "text/plain; charset=utf8" },
      };
    }
    const token = this.keystone.validToken(request.headers["x-auth-token"]);
    if (!token) {
      return {
        status: 401,
        body: {
          error: {
            code: 401,
            title: "Unauthorized",
            message: "The request you have made requires authentication.",
          },
        },
        headers: { "WWW-Authenticate": `Keystone uri="${request.origin}${identityPath}/"` },
      };
    }
    if (!path.startsWith("/v3/")) return unroutedReply();
    const version = this.microversionOf(request);
    if (typeof version !== "number") {
      return { ...version, headers: { ...version.headers, "x-compute-request-id": request.requestId } };
    }
    if (path === "/v3/") return this.versioned(request, version, this.versionDocument(base, 200));
    return this.dispatch(request, path.slice("/v3/".length), base, token, version);
  }

  private async dispatch(
    request: HttpRequest,
    pathBelowVersion: string,
    base: string,
    token: Token,
    minor: number,
  ): Promise<Reply> {
    // Since 3.67 a URL may leave the project out.
    const [, projectInUrl, path = ""] = /^(?:([0-9a-f-]+)\/)?(.*)$/.exec(pathBelowVersion) ?? [];
    const route = compiled.find(({ method, pattern }) => method === request.method && pattern.test(path));
    if (!route) return unroutedReply();
    const projectId = token.project?.id;
    if (projectId === undefined || (projectInUrl !== undefined && projectInUrl !== projectId)) {
      return this.versioned(request, minor, errorReply(400, "Malformed request url"));
    }
    let reply: Reply;
    try {
      if (minor < route.since) throw new CinderError(404, "The resource could not be found.");
      const call: Call = {
        cloud: this.cloud,
        method: request.method,
        parameters: { ...route.pattern.exec(path)?.groups },
        query: request.query,
        body: bodyOf(request),
        minor,
        token,
        projectId,
        requestId: request.requestId,
        base,
        url: request.origin + request.path,
        hasServiceToken:
          this.keystone.validToken(request.headers["x-service-token"])?.roles.includes("service") ?? false,
      };
      reply = await route.handler(call);
    } catch (error) {
      if (!(error instanceof CinderError)) throw error;
      reply = errorReply(error.status, error.message);
    }
    return this.versioned(request, minor, reply);
  }

  private versioned(request: HttpRequest, minor: number, reply: Reply): Reply {
    const isPage = reply.headers?.["Content-Type"] !== undefined;
    return {
      ...reply,
      headers: {
        "OpenStack-API-Version": `volume 3.${minor}`,
        Vary: "OpenStack-API-Version",
        ...(!isPage && { "x-compute-request-id": request.requestId }),
        ...reply.headers,
      },
    };
  }

  /** The minor version that the header asks for, or the refusal. */
  private microversionOf(request: HttpRequest): number | Reply {
    const header = request.headers["openstack-api-version"];
    if (header === undefined) return 0;
    const part = String(header)
      .split(",")
      .map(text => text.trim())
      .find(text => text.startsWith("volume"));
    if (part === undefined) return errorReply(400, malformed);
    const wanted = part.split(/\s+/)[1] ?? "";
    if (wanted === "latest") return this.newestMinor;
    const match = /^(\d+)\.(\d+)$/.exec(wanted);
    if (!match) {
      const message = `API Version String ${wanted} is of invalid format. Must be of format MajorNum.MinorNum.`;
      return errorReply(400, message);
    }
    const minor = Number(match[2]);
    if (match[1] === "3" && minor <= this.newestMinor) return minor;
    const refusal = errorReply(
      406,
      `Version ${wanted} is not supported by the API. Minimum is 3.0 and maximum is 3.${this.newestMinor}.`,
    );
    if (match[1] !== "3") return refusal;
    return {
      ...refusal,
      headers: { "OpenStack-API-Version": `volume ${wanted}`, Vary: "OpenStack-API-Version" },
    };
  }

  private versionDocument(base: string, status: number): Reply {
    return {
      status,
      body: {
        versions: [
          {
            id: "v3.0",
            status: "CURRENT",
            version: `3.${this.newestMinor}`,
            min_version: "3.0",
            updated: "2023-08-31T00:00:00Z",
            links: [
              { rel: "describedby", type: "text/html", href: "https://docs.openstack.org/" },
              { rel: "self", href: `${base}/v3/` },
            ],
            "media-types": [
              { base: "application/json", type: "application/vnd.openstack.volume+json;version=3" },
            ],
          },
        ],
      },
    };
  }
}

function bodyOf(request: HttpRequest): unknown {
  if (request.method !== "POST" && request.method !== "PUT") return undefined;
  if (request.body.length === 0) throw new CinderError(500, erred);
  const type = String(request.headers["content-type"] ?? "").split(";")[0];
  if (type !== "application/json") throw new CinderError(415, "Unsupported Content-Type");
  try {
    return JSON.parse(request.body.toString("utf8"));
  } catch {
    throw badRequest("Malformed request body");
  }
}
