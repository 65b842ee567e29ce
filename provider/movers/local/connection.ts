import type { Claim } from "./claim";
import { VolumeError } from "./errors";

/**
 * `connection_info` of a Cinder attachment, flattened as the attachments API (3.27 and later) answers it. For a
 * volume that Nova attached to this server: `{ driver_volume_type: "local", device_path: "/dev/vdb" }`.
 */
export interface Connection {
  driver_volume_type: string;
  [key: string]: unknown;
}

export interface AttachContext {
  claim: Claim;
  access: "read" | "write";
  log: (line: string) => void;
  signal?: AbortSignal | undefined;
}

/** A file or block device on this machine that holds the volume's bytes. */
export interface Device {
  path: string;
  /** How it came here, for people: "nfs file", "rbd map", …. */
  how: string;
}

/** A required text field of the connection. */
export function field(connection: Connection, name: string): string {
  const value = connection[name];
  if (typeof value === "string" && value !== "") return value;
  throw new VolumeError(
    "unsupported",
    `attaching a volume by ${connection.driver_volume_type}: the connection has no ${name}`,
  );
}
