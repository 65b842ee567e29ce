import type { Cloud } from "./cloud";
import type { HttpRequest, Reply } from "./http";
import type { Keystone } from "./keystone";

export const networkPath = "/network";

/** The one network there is. */
export const networkId = "6f2a1c54-9d0b-4c1e-8d0e-0a1b2c3d4e5f";

/** Network API v2.0, as far as a client needs it that gives a new server a network and a floating IP. */
export class Neutron {
  constructor(
    private readonly cloud: Cloud,
    private readonly keystone: Keystone,
  ) {}

  handle(request: HttpRequest): Reply {
    const token = this.keystone.validToken(request.headers["x-auth-token"]);
    if (!token?.project)
      return refusal(401, "Unauthorized", "The request you have made requires authentication.");
    const { id: projectId } = token.project;
    const path = request.path.slice(networkPath.length).replace(/\/$/, "");
    const [, kind, id] = /^\/v2\.0\/(networks|ports|floatingips)(?:\/([^/]+))?$/.exec(path) ?? [];
    if (kind === "networks")
      return id === networkId
        ? { status: 200, body: { network: { id, name: "private" } } }
        : refusal(404, "NetworkNotFound", `Network ${id} could not be found.`);
    if (kind === "ports") return this.ports(request, projectId, id);
    if (kind === "floatingips") return this.floatingIps(request, projectId, id);
    return refusal(404, "HTTPNotFound", "The resource could not be found.");
  }

  /** Each server with an address has one port, whose id is the server's. */
  private ports({ query }: HttpRequest, projectId: string, id: string | undefined): Reply {
    const all = [...this.cloud.servers.values()]
      .filter(({ project_id, address }) => project_id === projectId && address !== null)
      .map(row => ({ id: row.id, device_id: row.id, network_id: networkId }));
    if (id !== undefined) {
      const port = all.find(one => one.id === id);
      return port
        ? { status: 200, body: { port } }
        : refusal(404, "PortNotFound", `Port ${id} could not be found.`);
    }
    const device = query.get("device_id");
    return { status: 200, body: { ports: all.filter(one => device === null || one.device_id === device) } };
  }

  private floatingIps(request: HttpRequest, projectId: string, id: string | undefined): Reply {
    const own = [...this.cloud.floatingIps.values()].filter(row => row.project_id === projectId);
    if (id === undefined) {
      const address = request.query.get("floating_ip_address");
      const found = own.filter(row => address === null || row.floating_ip_address === address);
      return { status: 200, body: { floatingips: found } };
    }
    const row = own.find(one => one.id === id);
    if (!row) return refusal(404, "FloatingIPNotFound", `Floating IP ${id} could not be found.`);
    if (request.method === "PUT") {
      const { floatingip } = JSON.parse(request.body.toString("utf8")) as {
        floatingip: { port_id: string | null };
      };
      row.port_id = floatingip.port_id;
      this.cloud.changed();
    }
    return { status: 200, body: { floatingip: row } };
  }
}

const refusal = (status: number, type: string, message: string): Reply => ({
  status,
  body: { NeutronError: { type, message, detail: "" } },
});
