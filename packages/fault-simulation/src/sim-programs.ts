import { GraphBuilder, parseSharding, type Sharding, tensorType, type Value } from "@lapidary/ir";
import { programText, type ProgramText } from "@lapidary/cluster";
import { ensure } from "@lapidary/std";
import { type Mesh, makeMesh } from "@lapidary/topology";

/** Numbers in the state `w` of a run, for each chip. */
const numbersPerChip = 2;

/** The programs of a simulated run, and the arithmetic that they compute, as plain code. */
export interface SimPrograms {
  readonly mesh: Mesh;
  readonly programs: Readonly<Record<"init" | "train_step" | "eval_step", ProgramText>>;
  readonly size: number;
}

/**
 * The programs of a run on `chips` chips. The state is a vector of f32, sharded over the chips. Its step is chaotic: a state that differs in one bit
 * is different in all later steps. It depends on the batch and on all shards.
 *
 *     mean = all_reduce(sum(w)) / n        w' = 1 + mean / 16 + batch / 1024 - 1.5 w²        loss = mean + 0 · batch
 */
export function simPrograms(chips: number): SimPrograms {
  const mesh = makeMesh({ data: chips });
  const size = chips * numbersPerChip;
  const sharded = parseSharding(mesh, "[data]");
  const scalar = parseSharding(mesh, "[]");
  const partial = parseSharding(mesh, "[] unreduced data");
  const build = (name: string, body: (g: Chip) => void): ProgramText => {
    const g = new GraphBuilder(name, "chip", mesh);
    body(new Chip(g, chips, { sharded, scalar, partial }));
    return programText(g.finish());
  };
  return {
    mesh,
    size,
    programs: {
      init: build("init", (g) => {
        g.output("w", g.multiply(g.iota(), g.vector(1 / size)));
        g.output("step", g.number(0));
      }),
      train_step: build("train_step", (g) => {
        const [w, step, batch] = [g.parameter("w", true), g.parameter("step", false), g.parameter("batch", false)];
        const mean = g.multiply(g.sum(w), g.number(1 / size));
        const driven = g.add(g.add(g.number(1), g.multiply(mean, g.number(1 / 16))), g.multiply(batch, g.number(1 / 1024)));
        g.output("w", g.add(g.broadcast(driven), g.multiply(g.vector(-1.5), g.multiply(w, w))));
        g.output("step", g.add(step, g.number(1)));
        g.output("loss", g.add(mean, g.multiply(batch, g.number(0))));
        g.output("tokens_counted", g.number(1));
      }),
      eval_step: build("eval_step", (g) => {
        const [w, batch] = [g.parameter("w", true), g.parameter("heldout", false)];
        g.output("loss_sum", g.multiply(g.sum(w), batch));
        g.output("tokens_counted", g.number(1));
      }),
    },
  };
}

/** Builds a per-chip program of vectors over the chips, and of scalars that every chip has. */
class Chip {
  constructor(
    private readonly g: GraphBuilder,
    private readonly chips: number,
    private readonly shardings: Readonly<Record<"sharded" | "scalar" | "partial", Sharding>>,
  ) {}

  private names = 0;

  output(name: string, value: Value): void {
    this.g.output(name, value);
  }

  parameter(name: string, isVector: boolean): Value {
    const type = tensorType("f32", isVector ? [numbersPerChip] : []);
    return this.g.push("parameter", [], { name }, type, { name, sharding: isVector ? this.shardings.sharded : this.shardings.scalar });
  }

  iota(): Value {
    return this.g.op("iota", [], { dims: [numbersPerChip], dimension: 0, dtype: "f32" }, this.#named("sharded"));
  }

  vector(value: number): Value {
    return this.g.op("constant", [], { value, dims: [numbersPerChip], dtype: "f32" }, this.#named("sharded"));
  }

  number(value: number): Value {
    return this.g.op("constant", [], { value, dims: [], dtype: "f32" }, this.#named("scalar"));
  }

  broadcast(x: Value): Value {
    return this.g.op("broadcast_in_dim", [x], { dims: [numbersPerChip], broadcastDimensions: [] }, this.#named("sharded"));
  }

  add(a: Value, b: Value): Value {
    return this.g.op("add", [a, b], {}, this.#like(a));
  }

  multiply(a: Value, b: Value): Value {
    return this.g.op("multiply", [a, b], {}, this.#like(a));
  }

  /** Over all chips. */
  sum(x: Value): Value {
    const partial = this.g.op("reduce", [x], { dims: [0], kind: "sum" }, this.#named("partial"));
    return this.g.op("all_reduce", [partial], { axes: ["data"], size: this.chips, kind: "sum" }, this.#named("scalar"));
  }

  #like(value: Value): { name: string; sharding: Sharding } {
    return { name: `v${this.names++}`, sharding: ensure(value.sharding, "sharding") };
  }

  #named(kind: keyof typeof this.shardings): { name: string; sharding: Sharding } {
    return { name: `v${this.names++}`, sharding: this.shardings[kind] };
  }
}

/** A step of the programs above in plain code, on the whole state. The order of the additions depends on the number of workers. */
export function nextState(w: Float32Array, batch: number, workers: number): { readonly w: Float32Array; readonly loss: number } {
  const f = Math.fround;
  const mean = f(sumOf(w, workers) * f(1 / w.length));
  const driven = f(f(1 + f(mean * f(1 / 16))) + f(batch * f(1 / 1024)));
  return { w: w.map((x) => f(driven + f(-1.5 * f(x * x)))), loss: f(mean + f(batch * 0)) };
}

export const firstState = (size: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.fround(i * Math.fround(1 / size)));

/** The loss of the evaluation of a state, on held-out batches 1, 2, …. */
export function heldoutLoss(w: Float32Array, workers: number, batches: number): number {
  let sum = 0;
  for (let batch = 1; batch <= batches; batch++) sum += Math.fround(sumOf(w, workers) * batch);
  return sum / batches;
}

/** Each worker adds its numbers, and then the sums of the workers are added in their order. */
function sumOf(w: Float32Array, workers: number): number {
  const share = w.length / workers;
  let total = 0;
  for (let worker = 0; worker < workers; worker++) {
    let sum = 0;
    for (const x of w.subarray(worker * share, (worker + 1) * share)) sum = Math.fround(sum + x);
    total = worker === 0 ? sum : Math.fround(total + sum);
  }
  return total;
}
