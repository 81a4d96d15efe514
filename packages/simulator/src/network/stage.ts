/** A resource of a chip: its two links along a dim of the torus, its share of the network cards, a direction of PCIe. */
export type Resource = `ici${number}` | "dcn" | "to_host" | "from_host";

/** A stage of a transfer. It uses all resources at the same time, for `seconds` if no other transfer uses them, and takes at least `latency`. */
export interface Stage {
  readonly resources: readonly Resource[];
  /** Bytes that one chip sends. */
  readonly bytes: number;
  readonly seconds: number;
  readonly latency: number;
}
