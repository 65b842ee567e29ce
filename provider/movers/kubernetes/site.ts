import type { Cluster } from "../../kubernetes/cluster";
import type { Feed } from "./feed";

/** What the Jobs of one namespace have in common. */
export interface Site {
  cluster: Cluster;
  namespace: string;
  feed: Feed;
  /** Waits until there may be one Job more; returns how its place is given back. */
  place(): Promise<() => void>;
}
