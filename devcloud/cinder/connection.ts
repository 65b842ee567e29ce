import type { VolumeRow } from "../rows";
import { nfsExport } from "../storage";
import type { Call } from "./call";

/** How a host reaches the volume's bytes, as Cinder's NFS driver (or one for local files) tells it. */
export function initializeConnection(call: Call, volume: VolumeRow): Record<string, unknown> {
  const { storage, behaviour } = call.cloud;
  const where =
    behaviour.backend === "nfs"
      ? { export: nfsExport, name: `volume-${volume.id}`, options: null, format: "raw" }
      : { device_path: storage.volumePath(volume.id) };
  return {
    ...where,
    qos_specs: null,
    access_mode: "rw",
    encrypted: false,
    cacheable: false,
    driver_volume_type: behaviour.backend,
    ...(behaviour.backend === "nfs" && { mount_point_base: storage.mountPointBase }),
    enforce_multipath: false,
  };
}
