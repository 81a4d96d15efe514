import type { Peers } from "@lapidary/fabric";
import type { Clock, FailpointName, Failpoints } from "@lapidary/std";

/**
 * Where a worker may be made to fail inside of a step. The executor knows nothing of it: it looks at the clock behind each kernel, and sends and
 * receives through peers, and these are what it is given when failpoints are armed.
 */
export class StepFaults {
  readonly #points: Failpoints;
  readonly #worker: number;
  #step = 0;
  #kernels = 0;
  #total = 0;
  #opOf: (node: number) => string | undefined = () => undefined;

  constructor(points: Failpoints, worker: number) {
    this.#points = points;
    this.#worker = worker;
  }

  /**
   * A step begins.
   *
   * @param step from 1
   * @param total kernels of its program
   * @param opOf the op of a node of its plan
   */
  begin(step: number, total: number, opOf: (node: number) => string | undefined): void {
    [this.#step, this.#kernels, this.#total, this.#opOf] = [step, 0, total, opOf];
  }

  end(): void {
    this.#step = 0;
  }

  /** A quarter of the kernels into a step is in the middle of the forward pass, two thirds of the backward pass. */
  clock(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      monotonic: () => {
        if (this.#step > 0) {
          const at = this.#kernels++;
          if (at === Math.floor(this.#total / 4)) this.#hit("forward");
          if (at === Math.floor((this.#total * 2) / 3)) this.#hit("backward-middle");
        }
        return clock.monotonic();
      },
    };
  }

  peers(peers: Peers): Peers {
    return {
      self: peers.self,
      size: peers.size,
      epoch: peers.epoch,
      lost: peers.lost,
      allGather: (tag, group, bytes) => peers.allGather(tag, group, bytes),
      allReduce: (tag, group, values, reduction) => peers.allReduce(tag, group, values, reduction),
      reduceScatter: (tag, group, chunks, reduction) => peers.reduceScatter(tag, group, chunks, reduction),
      recycle: (buffer) => peers.recycle(buffer),
      abort: (error) => peers.abort(error),
      close: () => peers.close(),
      exchange: async (tag, sends, from) => {
        const what = this.#chunkOf(tag);
        const exchanged = peers.exchange(tag, sends, from);
        if (what === undefined) return exchanged;
        exchanged.catch(() => undefined);
        this.#hit(`${what}-chunk-sent`);
        const received = await exchanged;
        if (this.#hit(`${what}-chunk-received`)) for (const bytes of received.values()) bytes[0] = (bytes[0] ?? 0) ^ 1;
        return received;
      },
    };
  }

  /** Tags are `run/node` or `run/node/part`. An all-reduce is a reduce-scatter and an all-gather. */
  #chunkOf(tag: string): "reduce-scatter" | "all-gather" | undefined {
    if (this.#step === 0) return undefined;
    const [, node, part] = tag.split("/");
    const op = this.#opOf(Number(node));
    if (op === "all_gather" || part === "gather") return "all-gather";
    return op === "reduce_scatter" || op === "all_reduce" ? "reduce-scatter" : undefined;
  }

  #hit(name: FailpointName): boolean {
    return this.#step > 0 && this.#points.hit(name, this.#step, this.#worker);
  }
}
