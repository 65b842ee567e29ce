import { autoMover } from "./auto-mover";
import type { Clusters } from "./kubernetes/clusters";
import { kubernetesMover } from "./kubernetes/kubernetes-mover";
import { localMover } from "./local/local-mover";
import type { Mover, MoverOptions } from "./mover";
import { serverMover } from "./server/server-mover";

/** Every mover, by the name that the input `mover` has for it. */
export const movers = {
  local: () => localMover,
  server: serverMover,
  kubernetes: (options, clusters) => kubernetesMover(options?.kubernetes ?? {}, clusters),
  auto: autoMover,
} satisfies Record<string, (options: MoverOptions | undefined, clusters: Clusters) => Mover>;

export type MoverName = keyof typeof movers;
