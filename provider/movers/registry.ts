import { localMover } from "./local/local-mover";
import type { Mover } from "./mover";

/** Every mover, by the name that the input `mover` has for it. */
export const movers = { local: localMover } satisfies Record<string, Mover>;

export type MoverName = keyof typeof movers;
