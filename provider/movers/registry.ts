import { autoMover } from "./auto-mover";
import { localMover } from "./local/local-mover";
import type { Mover, MoverOptions } from "./mover";
import { serverMover } from "./server/server-mover";

/** Every mover, by the name that the input `mover` has for it. */
export const movers = {
  local: () => localMover,
  server: serverMover,
  auto: autoMover,
} satisfies Record<string, (options: MoverOptions | undefined) => Mover>;

export type MoverName = keyof typeof movers;
