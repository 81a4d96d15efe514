import type { HostCollective } from "@lapidary/compiler";
import type { Peers } from "@lapidary/fabric";
import { type CollectiveName, type TensorType, sizeOf, stridesOf } from "@lapidary/ir";
import type { ExchangePlan, Segments } from "@lapidary/native";
import { type LapidaryError, ensure } from "@lapidary/std";
import { type Mesh, type WorkerGrid, workerGroup } from "@lapidary/topology";
import type { SharedExchange, SharedMemory, SharedSpace } from "../device/shared-memory.js";
import type { NodeId } from "../plan/plan.js";
import type { ExecutionHooks } from "./hooks.js";
import { type WorkerAxes, workerAxes } from "./worker-axes.js";

/** A collective of a program, with the positions of its start and its finish in the schedule. */
export interface PlannedExchange {
  readonly node: NodeId;
  readonly op: CollectiveName;
  readonly kind: "sum" | "max" | "min";
  readonly collective: HostCollective;
  readonly input: TensorType;
  readonly output: TensorType;
  readonly start: number;
  readonly finish: number;
}

export interface SharedOptions {
  readonly memory: SharedMemory;
  readonly mesh: Mesh;
  readonly grid: WorkerGrid;
  readonly worker: number;
  readonly peers: Peers;
  readonly hooks?: Pick<ExecutionHooks, "link">;
}

/** If the messages of a program have more bytes than this together, they share regions. Otherwise each has its own. */
const reuseAboveBytes = 64 * 2 ** 20;

/**
 * The collectives of a program through memory that the workers of this machine share. The workers agree on this at the first run. If they do not share
 * memory, or if numbers do not have 4 bytes, messages go through sockets.
 */
export class SharedExchanges {
  readonly #options: SharedOptions;
  readonly #planned: readonly PlannedExchange[];
  readonly #regions: ReadonlyMap<NodeId, number>;
  readonly #space: SharedSpace | undefined;
  #failure: LapidaryError | undefined;

  constructor(options: SharedOptions, exchanges: readonly PlannedExchange[]) {
    this.#options = options;
    this.#planned = exchanges.filter(({ op, input }) => op !== "shard_slice" && input.dtype !== "pred");
    const { regionOf, bytes } = assignRegions(this.#planned.map((exchange) => ({ ...exchange, bytes: sizeOf(exchange.input.dims) * 4 })));
    this.#regions = regionOf;
    this.#space = bytes.length === 0 ? undefined : options.memory.open(options.worker, options.grid.workers, bytes);
  }

  /** The reason why no message will arrive, if the worker group has failed. */
  get failure(): LapidaryError | undefined {
    return this.#failure;
  }

  /** Agrees with the other workers, which all call this. @returns by node; undefined if the workers do not share memory */
  async connect(tag: string): Promise<Map<NodeId, SharedExchange> | undefined> {
    const { peers, grid, worker } = this.#options;
    const others = Array.from({ length: grid.workers }, (_, rank) => rank).filter((rank) => rank !== worker);
    const broadcast = async (what: string, text: string): Promise<Map<number, string>> => {
      const bytes = new TextEncoder().encode(text);
      const received = await peers.exchange(`${tag}/${what}`, new Map(others.map((rank) => [rank, bytes])), others);
      return new Map([...received].map(([rank, answer]) => [rank, new TextDecoder().decode(answer)]));
    };
    const paths = await broadcast("outbox", this.#space?.path ?? "");
    const opened = this.#space !== undefined && others.every((rank) => this.#space?.connect(rank, paths.get(rank) ?? ""));
    const answers = await broadcast("opened", opened ? "yes" : "no");
    const space = this.#space;
    if (space === undefined || !opened || [...answers.values()].some((answer) => answer !== "yes")) return undefined;
    // No worker sends this message. The exchange fails when the worker group fails, which shared memory does not report.
    peers.exchange(`${tag}/watch`, new Map(), others).catch((error: LapidaryError) => {
      this.#failure = error;
    });
    const { hooks } = this.#options;
    return new Map(
      this.#planned.map((exchange) => {
        const link = space.bind(this.#planOf(exchange), exchange.input.dtype);
        return [exchange.node, hooks?.link(exchange.op, link) ?? link];
      }),
    );
  }

  close(): void {
    this.#space?.close();
  }

  /** The collective as the native library needs it. */
  #planOf({ node, op, kind, collective, input, output }: PlannedExchange): ExchangePlan {
    const { mesh, grid, worker } = this.#options;
    const group = workerGroup(mesh, grid, worker, collective.atoms);
    const { split, gather } = collective;
    return {
      region: ensure(this.#regions.get(node), "region"),
      member: group.indexOf(worker),
      group,
      partSize: sizeOf(input.dims) / (split === undefined ? 1 : group.length),
      outputDims: output.dims,
      split: split === undefined ? undefined : segmentsOfWorkers(workerAxes(input.dims, split)),
      combine:
        op === "reduce_scatter" || op === "all_reduce"
          ? kind
          : { join: segmentsOfWorkers(workerAxes(output.dims, ensure(gather, "gather layout"))) },
    };
  }
}

/** The segments of an array that each worker of a group has, in elements. */
function segmentsOfWorkers({ factors, toFront, workers }: WorkerAxes): Segments {
  const strides = stridesOf(factors);
  const workerFactors = toFront.slice(0, workers);
  let bases = [0];
  for (const axis of workerFactors)
    bases = bases.flatMap((base) =>
      Array.from({ length: ensure(factors[axis], "factor") }, (_, i) => base + i * ensure(strides[axis], "stride")),
    );
  const others = factors
    .map((size, axis) => ({ size, stride: ensure(strides[axis], "stride"), axis }))
    .filter(({ size, axis }) => !workerFactors.includes(axis) && size > 1);
  const merged: { size: number; stride: number }[] = [];
  for (const { size, stride } of others) {
    const last = merged.at(-1);
    if (last !== undefined && last.stride === stride * size) merged.splice(-1, 1, { size: last.size * size, stride });
    else merged.push({ size, stride });
  }
  const innermost = merged.at(-1);
  const length = innermost?.stride === 1 ? innermost.size : 1;
  const outer = innermost?.stride === 1 ? merged.slice(0, -1) : merged;
  return { bases, counts: outer.map(({ size }) => size), strides: outer.map(({ stride }) => stride), length };
}

/**
 * Assigns messages to regions of the outbox. Two messages that are in flight at the same time never have the same region. If the messages are large, regions
 * are used again, and the region that has been free for longest is used first.
 */
export function assignRegions(
  messages: readonly { readonly node: NodeId; readonly bytes: number; readonly start: number; readonly finish: number }[],
): {
  readonly regionOf: ReadonlyMap<NodeId, number>;
  readonly bytes: readonly number[];
} {
  const regionOf = new Map<NodeId, number>();
  const regions: { readonly bytes: number; freeFrom: number }[] = [];
  let total = 0;
  for (const message of [...messages].sort((a, b) => a.start - b.start)) {
    const fitting = regions
      .map((region, index) => ({ region, index }))
      .filter(({ region }) => region.freeFrom < message.start && region.bytes >= message.bytes && region.bytes <= 2 * message.bytes)
      .sort((a, b) => a.region.freeFrom - b.region.freeFrom)[0];
    if (fitting !== undefined && total + message.bytes > reuseAboveBytes) {
      fitting.region.freeFrom = message.finish;
      regionOf.set(message.node, fitting.index);
    } else {
      regionOf.set(message.node, regions.push({ bytes: message.bytes, freeFrom: message.finish }) - 1);
      total += message.bytes;
    }
  }
  return { regionOf, bytes: regions.map(({ bytes }) => bytes) };
}
