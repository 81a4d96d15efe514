import { gradients, gradientsFrom } from "@lapidary/compiler";
import { type GraphBuilder, tensorType, type TensorType, type Value } from "@lapidary/ir";
import { forwardTick, fromStage, partAt, partsOf, withPart } from "@lapidary/models";
import { assert, ensure } from "@lapidary/std";
import { stepLoss } from "../token-loss.js";
import { asGradients, BackwardPhase } from "./backward-tick.js";
import type { PassInputs, PassResult } from "./pass-inputs.js";

/** Everything that the ticks carry. `sums` are gradients by parameter. */
interface TickState {
  /** The number of the tick, i32. */
  readonly tick: Value;
  /** The place of this tick's inputs in `ring`: tick mod slots, i32. */
  readonly slot: Value;
  /** The outputs of the stages [S, rows, T, D]. */
  readonly forward: Value;
  /** The gradients of their inputs [S, rows, T, D]. */
  readonly backward: Value;
  /** The inputs of the stages in the last ticks [S, slots, rows, T, D]. */
  readonly ring: Value;
  readonly loss: Value;
  readonly sums: ReadonlyMap<string, Value>;
  readonly logits: readonly Value[];
}

/** The phases of a tick. */
type Phase = "forward" | "loss" | "backward";

/**
 * The order `1f1b`: the backward phase of a microbatch begins in the tick in which the last stage computed it. Stage s runs microbatch m
 * forward in tick m + s and backward in tick m + 2(S − 1) − s, so that only the inputs of the last 2S − 1 ticks are kept:
 *
 *     repeat S − 1 { forward } ─► repeat M { forward, loss of a microbatch, backward } ─► repeat S − 1 { backward }
 */
export function oneForwardOneBackward(g: GraphBuilder, inputs: PassInputs): PassResult {
  return new OneForwardOneBackward(g, inputs).run();
}

class OneForwardOneBackward {
  readonly #S: number;
  readonly #M: number;
  readonly #slots: number;
  readonly #phase: BackwardPhase;
  /** i32[rows, M, T] */
  readonly #tokens: Value;

  constructor(
    readonly g: GraphBuilder,
    readonly inputs: PassInputs,
  ) {
    const { pipeline, microbatches, weights, fragment, batch } = inputs;
    this.#S = pipeline.stages;
    this.#M = microbatches;
    this.#slots = 2 * this.#S - 1;
    this.#phase = new BackwardPhase(g, pipeline, weights, fragment);
    this.#tokens = partsOf(g, batch.tokens, microbatches);
  }

  run(): PassResult {
    const { g } = this;
    const [S, M] = [this.#S, this.#M];
    // The mean over the stages of the ticks of a region in which a stage has no microbatch.
    const idle = (S - 1) / 2;
    const { pipeline, model, others, batch } = this.inputs;
    const { stacks } = this.#phase;
    const warm = this.#repeat(S - 1, idle, this.#initial(), ["forward"]);
    const all = [...stacks, ...others];
    const steady = this.#repeat(M, idle, { ...warm, sums: this.#zeros(all), logits: this.#logits() }, ["forward", "loss", "backward"]);
    const ofSteady = this.#gradients(steady);
    // Sums that begin with zeros may stay partial sums of the chips.
    const ofBackward = this.#zeros([...stacks, pipeline.embedding]);
    const cool = g.inPhase("backward", () => this.#repeat(S - 1, idle, { ...steady, sums: ofBackward, logits: [] }, ["backward"]));
    const ofCool = this.#gradients(cool);
    const total = (name: string): Value => {
      const [first, second] = [ensure(ofSteady.get(name), name), ofCool.get(name)];
      return second === undefined ? first : g.inPhase("backward", () => g.named("gradient_sum", g.add(first, second)));
    };
    return {
      loss: steady.loss,
      ofStacks: new Map(stacks.map((stack) => [stack, total(stack)])),
      ofOthers: others.map(total),
      logits: () => g.reshape(ensure(steady.logits[0], "logits"), [...batch.tokens.type.dims, model.vocabSize]),
    };
  }

  #stateType(): TensorType {
    return tensorType("f32", [this.#S, ...ensure(this.inputs.fragment.values[0], "x").type.dims]);
  }

  #initial(): TickState {
    const { g } = this;
    const state = this.#stateType();
    const [S = 0, ...rest] = state.dims;
    return {
      tick: g.scalar(0, "i32"),
      slot: g.scalar(0, "i32"),
      forward: g.splat(0, state),
      backward: g.splat(0, state),
      ring: g.splat(0, tensorType("f32", [S, this.#slots, ...rest])),
      loss: g.scalar(0),
      sums: new Map(),
      logits: [],
    };
  }

  #zeros(names: readonly string[]): Map<string, Value> {
    return new Map(names.map((name) => [name, this.g.splat(0, ensure(this.inputs.weights.get(name), name).type)]));
  }

  #logits(): Value[] {
    const { withLogits = false, model } = this.inputs;
    return withLogits ? [this.g.splat(0, tensorType("f32", [...this.#tokens.type.dims, model.vocabSize]))] : [];
  }

  /** Yields as gradients, which ZeRO splits. */
  #gradients({ sums }: TickState): Map<string, Value> {
    const names = [...sums.keys()];
    const found = asGradients(this.g, this.inputs.model, names, [...sums.values()]);
    return new Map(names.map((name, i) => [name, ensure(found[i], name)]));
  }

  #repeat(count: number, idle: number, state: TickState, phases: readonly Phase[]): TickState {
    const names = [...state.sums.keys()];
    const result = this.g.repeat(count, flatten(state), (carried) => flatten(this.#tick(unflatten(carried, names), phases)), idle);
    return unflatten(result, names);
  }

  #tick(before: TickState, phases: readonly Phase[]): TickState {
    const { g } = this;
    let state = before;
    if (phases.includes("forward")) state = this.#forward(state);
    const entering = phases.includes("loss") ? this.#loss(state) : undefined;
    if (entering !== undefined) state = entering.state;
    if (phases.includes("backward")) state = g.inPhase("backward", () => this.#backward(state, entering?.cotangent));
    const next = g.offset(state.slot, 1);
    const wraps = g.compare(next, g.scalar(this.#slots, "i32"), "EQ");
    return { ...state, tick: g.offset(state.tick, 1), slot: g.select(wraps, g.scalar(0, "i32"), next) };
  }

  #forward(state: TickState): TickState {
    const { g } = this;
    return g.scope("forward_tick", () => {
      const { input, output } = forwardTick(g, this.inputs, partAt(g, this.#tokens, state.tick), state.forward);
      const [S = 0, ...rest] = input.type.dims;
      return { ...state, forward: output, ring: g.dynamicUpdateSlice(state.ring, g.reshape(input, [S, 1, ...rest]), state.slot, 1) };
    });
  }

  /** The loss of the microbatch that leaves the last stage, as its share of the loss of the batch. */
  #loss(state: TickState): { readonly state: TickState; readonly cotangent: Value } {
    const { g } = this;
    const { model, pipeline, weights, batch, chunks, total, others } = this.inputs;
    const trained = others.map((name) => ensure(weights.get(name), name));
    const microbatch = g.offset(state.tick, 1 - this.#S);
    const output = fromStage(g, state.forward, this.#S - 1);
    const part = (x: Value): Value => partAt(g, partsOf(g, x, this.#M), microbatch);
    const hidden = pipeline.final(g, weights, output);
    const inputs = { weights, hidden, targets: part(batch.targets), mask: part(batch.mask), total };
    const { loss, known, logits } = stepLoss(g, model, inputs, { chunks, trained });
    const wrt = [output, ...trained];
    const [cotangent, ...ofHead] = (known === undefined ? gradients(g, loss, wrt) : gradientsFrom(g, known, wrt)) as [Value, ...Value[]];
    const sums = g.inPhase("backward", () => this.#added(state.sums, new Map(others.map((name, i) => [name, ensure(ofHead[i], name)]))));
    const logitsNext = state.logits.map((before) => withPart(g, before, logits(), microbatch));
    return { state: { ...state, loss: g.named("loss_sum", g.add(state.loss, loss)), sums, logits: logitsNext }, cotangent };
  }

  #backward(state: TickState, entering: Value | undefined): TickState {
    const { g } = this;
    const phase = this.#phase;
    return g.scope("backward_tick", () => {
      const cotangents = phase.cotangents(state.backward, entering === undefined ? undefined : { value: entering });
      const found = phase.tick(this.#inputsOf(state), cotangents, state.sums);
      const tokens = partAt(g, this.#tokens, g.offset(state.tick, 2 - 2 * this.#S));
      const ofEmbedding = new Map([[this.inputs.pipeline.embedding, phase.ofEmbedding(found, tokens)]]);
      return { ...state, backward: found.ofInputs, sums: this.#added(new Map([...state.sums, ...found.sums]), ofEmbedding) };
    });
  }

  #added(sums: ReadonlyMap<string, Value>, own: ReadonlyMap<string, Value>): Map<string, Value> {
    const { g } = this;
    return new Map(
      [...sums].map(([name, sum]) => {
        const gradient = own.get(name);
        return [name, gradient === undefined ? sum : g.named("gradient_sum", g.add(sum, gradient))];
      }),
    );
  }

  /** The inputs that the stages had in the forward tick of their microbatch: 2(S − 1 − s) ticks ago for stage s. */
  #inputsOf({ slot, ring }: TickState): Value {
    const { g } = this;
    const type = tensorType("i32", [this.#S]);
    const stage = g.iota(type, 0);
    const age = g.subtract(g.splat(2 * (this.#S - 1), type), g.add(stage, stage));
    const at = g.subtract(g.broadcastInDim(slot, type.dims, []), age);
    const inRing = g.select(g.compare(at, g.splat(0, type), "LT"), g.offset(at, this.#slots), at);
    const found = g.gather(ring, g.reshape(inRing, [this.#S, 1]), 1);
    assert(found.type.dims[1] === 1, "one input for each stage");
    return g.reshape(found, this.#stateType().dims);
  }
}

const flatten = ({ tick, slot, forward, backward, ring, loss, sums, logits }: TickState): Value[] => [
  ...[tick, slot, forward, backward, ring, loss],
  ...[...sums.values(), ...logits],
];

function unflatten(values: readonly Value[], names: readonly string[]): TickState {
  const [tick, slot, forward, backward, ring, loss, ...rest] = values as [Value, Value, Value, Value, Value, Value, ...Value[]];
  const sums = new Map(names.map((name, i) => [name, ensure(rest[i], name)]));
  return { tick, slot, forward, backward, ring, loss, sums, logits: rest.slice(names.length) };
}
