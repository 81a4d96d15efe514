import { gradients, gradientsFrom } from "@lapidary/compiler";
import { type GraphBuilder, tensorType, type TensorType, type Value } from "@lapidary/ir";
import { forwardTick, fromStage, ofStages, partAt, partsOf, withPart } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { stepLoss } from "../token-loss.js";
import { asGradients, BackwardPhase } from "./backward-tick.js";
import type { PassInputs, PassResult } from "./pass-inputs.js";
import { Ring } from "./ring.js";
import { type TickRange, tickRanges } from "./tick-table.js";

/** Everything that the ticks carry. */
interface TickState {
  /** The number of the tick, i32. */
  readonly tick: Value;
  /** The slots of this tick in `inputs` and in `kept`, i32. */
  readonly slot: Value;
  readonly keptSlot: Value;
  /** The outputs of the stages [S, rows, T, D]. */
  readonly forward: Value;
  /** The gradients of their inputs [S, rows, T, D]. */
  readonly backward: Value;
  /** The inputs of the stages in the last ticks: a `Ring`. */
  readonly inputs: Value;
  readonly loss: Value;
  /** What backward ticks keep for the gradients of weights: rings by name. */
  readonly kept: ReadonlyMap<string, Value>;
  /** Gradients by parameter. */
  readonly sums: ReadonlyMap<string, Value>;
  /** [rows, M, T, V], if the caller asks for logits. */
  readonly logits: ReadonlyMap<string, Value>;
}

/**
 * The order `1f1b`: the backward pass of a microbatch begins in the tick in which the last stage computed it. Stage s runs microbatch m
 * forward in tick m + s and backward in tick m + 2(S − 1) − s, so that only the inputs of the last 2S − 1 ticks are kept:
 *
 *     repeat S − 1 { forward } ─► repeat M { forward, loss of a microbatch, backward } ─► repeat S − 1 { backward }
 */
export const oneForwardOneBackward = (g: GraphBuilder, inputs: PassInputs): PassResult => new OneForwardOneBackward(g, inputs, false).run();

/**
 * The order `zero_bubble`: as `1f1b`, but a backward tick computes only the gradients of the inputs. The gradients of weights of microbatch m
 * follow in tick m + 2(S − 1), in all stages, so that no stage is idle in them. Stage s keeps the operands of their matmuls for s ticks:
 *
 *     repeat S − 1     { forward }                             repeat M − S + 1 { forward, loss, backward, weights }
 *     repeat S − 1     { forward, loss, backward }             repeat S − 1     { backward, weights }
 */
export const zeroBubble = (g: GraphBuilder, inputs: PassInputs): PassResult => new OneForwardOneBackward(g, inputs, true).run();

class OneForwardOneBackward {
  readonly #S: number;
  readonly #M: number;
  readonly #phase: BackwardPhase;
  /** i32[rows, M, T] */
  readonly #tokens: Value;
  readonly #inputs: Ring;
  readonly #kept: ReadonlyMap<string, Ring>;

  constructor(
    readonly g: GraphBuilder,
    readonly inputs: PassInputs,
    readonly weightsApart: boolean,
  ) {
    const { pipeline, microbatches, weights, fragment, batch } = inputs;
    this.#S = pipeline.stages;
    this.#M = microbatches;
    this.#phase = new BackwardPhase(g, pipeline, weights, fragment, weightsApart);
    this.#tokens = partsOf(g, batch.tokens, microbatches);
    this.#inputs = new Ring(g, 2 * this.#S - 1, this.#stateType());
    this.#kept = new Map([...this.#phase.kept].map(([name, type]) => [name, new Ring(g, this.#S, type)]));
  }

  run(): PassResult {
    const { g } = this;
    const { model, batch, others } = this.inputs;
    const found = new Map<string, Value>();
    let state = this.#initial();
    let logits = this.#logits();
    for (const range of tickRanges({ stages: this.#S, microbatches: this.#M, weightsApart: this.weightsApart })) {
      // Sums that begin with zeros may stay partial sums of the chips.
      const sums = this.#zeros(this.#summed(range));
      const initial = { ...state, sums, logits: range.hasLoss ? logits : new Map<string, Value>() };
      const repeat = (): TickState => this.#repeat(range, initial);
      state = range.parts.includes("forward") ? repeat() : g.inPhase("backward", repeat);
      if (range.hasLoss) logits = state.logits;
      this.#addGradients(found, state);
    }
    const { stacks, stacksApart } = this.#phase;
    return {
      loss: state.loss,
      ofStacks: new Map([...stacks, ...stacksApart].map((stack) => [stack, ensure(found.get(stack), stack)])),
      ofOthers: others.map((name) => ensure(found.get(name), name)),
      logits: () => g.reshape(ensure(logits.get("logits"), "logits"), [...batch.tokens.type.dims, model.vocabSize]),
    };
  }

  /** The parameters to whose gradients the ticks of a range add. */
  #summed({ parts, hasLoss }: TickRange): string[] {
    const { pipeline, others } = this.inputs;
    const { stacks, stacksApart } = this.#phase;
    const names = [
      ...(parts.includes("backward") ? [...stacks, pipeline.embedding] : []),
      ...(parts.includes("weights") ? stacksApart : []),
      ...(hasLoss ? others : []),
    ];
    return [...new Set(names)];
  }

  #stateType(): TensorType {
    return tensorType("f32", [this.#S, ...ensure(this.inputs.fragment.values[0], "x").type.dims]);
  }

  #initial(): TickState {
    const { g } = this;
    const [zero, state] = [g.scalar(0, "i32"), g.splat(0, this.#stateType())];
    return {
      ...{ tick: zero, slot: zero, keptSlot: zero, forward: state, backward: state, inputs: this.#inputs.empty(), loss: g.scalar(0) },
      kept: new Map([...this.#kept].map(([name, ring]) => [name, ring.empty()])),
      sums: new Map(),
      logits: new Map(),
    };
  }

  #zeros(names: readonly string[]): Map<string, Value> {
    return new Map(names.map((name) => [name, this.g.splat(0, ensure(this.inputs.weights.get(name), name).type)]));
  }

  #logits(): ReadonlyMap<string, Value> {
    const { withLogits = false, model } = this.inputs;
    const type = tensorType("f32", [...this.#tokens.type.dims, model.vocabSize]);
    return withLogits ? new Map([["logits", this.g.splat(0, type)]]) : new Map();
  }

  /** Adds the yields of a range, as gradients that ZeRO splits, to those of the ranges before. */
  #addGradients(found: Map<string, Value>, { sums }: TickState): void {
    const { g } = this;
    const names = [...sums.keys()];
    asGradients(g, this.inputs.model, names, [...sums.values()]).forEach((gradient, i) => {
      const name = ensure(names[i], "name");
      const before = found.get(name);
      found.set(name, before === undefined ? gradient : g.inPhase("backward", () => g.named("gradient_sum", g.add(before, gradient))));
    });
  }

  #repeat({ count, parts, hasLoss, idle }: TickRange, initial: TickState): TickState {
    const body = (carried: readonly Value[]): Value[] => flatten(this.#tick(unflatten(carried, initial), parts, hasLoss));
    return unflatten(this.g.repeat(count, flatten(initial), body, idle), initial);
  }

  #tick(before: TickState, parts: TickRange["parts"], hasLoss: boolean): TickState {
    const { g } = this;
    let state = before;
    if (parts.includes("forward")) state = this.#forward(state);
    const entering = hasLoss ? this.#loss(state) : undefined;
    if (entering !== undefined) state = entering.state;
    if (parts.includes("backward")) state = g.inPhase("backward", () => this.#backward(state, entering?.cotangent));
    if (parts.includes("weights")) state = g.inPhase("backward", () => this.#weights(state));
    const keptSlot = this.weightsApart ? new Ring(g, this.#S, this.#stateType()).next(state.keptSlot) : state.keptSlot;
    return { ...state, tick: g.offset(state.tick, 1), slot: this.#inputs.next(state.slot), keptSlot };
  }

  #forward(state: TickState): TickState {
    const { g } = this;
    return g.inTick("forward", () => {
      const { tick, forward: before } = state;
      const { input, output } = forwardTick(g, this.inputs, { tick, tokens: partAt(g, this.#tokens, tick), before });
      return { ...state, forward: output, inputs: this.#inputs.write(state.inputs, state.slot, input) };
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
    const written = [...state.logits].map(([name, before]): [string, Value] => [name, withPart(g, before, logits(), microbatch)]);
    return { state: { ...state, loss: g.named("loss_sum", g.add(state.loss, loss)), sums, logits: new Map(written) }, cotangent };
  }

  #backward(state: TickState, entering: Value | undefined): TickState {
    const { g } = this;
    const phase = this.#phase;
    return g.inTick("backward", () => {
      const cotangents = phase.cotangents(state.backward, entering === undefined ? undefined : { value: entering });
      const { ofInputs, sums, kept } = phase.tick(this.#inputsOf(state), cotangents, state.sums);
      const tokens = partAt(g, this.#tokens, g.offset(state.tick, 2 - 2 * this.#S));
      const ofEmbedding = new Map([[this.inputs.pipeline.embedding, phase.ofEmbedding(tokens, fromStage(g, ofInputs, 0))]]);
      const written = [...this.#kept].map(([name, ring]): [string, Value] => [
        name,
        ring.write(ensure(state.kept.get(name), name), state.keptSlot, ensure(kept.get(name), name)),
      ]);
      const added = this.#added(new Map([...state.sums, ...sums]), ofEmbedding);
      return { ...state, backward: ofInputs, sums: added, kept: new Map(written) };
    });
  }

  /** The gradients of weights of the microbatch whose backward tick was s ticks ago in stage s. */
  #weights(state: TickState): TickState {
    const { g } = this;
    return g.inTick("weights", () => {
      const age = g.iota(ofStages(this.#S), 0);
      const kept = [...this.#kept].map(([name, ring]): [string, Value] => [
        name,
        ring.read(ensure(state.kept.get(name), name), state.keptSlot, age),
      ]);
      return { ...state, sums: new Map([...state.sums, ...this.#phase.weightsTick(new Map(kept), state.sums)]) };
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
  #inputsOf({ slot, inputs }: TickState): Value {
    const { g } = this;
    const type = ofStages(this.#S);
    const stage = g.iota(type, 0);
    const age = g.subtract(g.splat(2 * (this.#S - 1), type), g.add(stage, stage));
    return this.#inputs.read(inputs, slot, age);
  }
}

const flatten = ({ tick, slot, keptSlot, forward, backward, inputs, loss, kept, sums, logits }: TickState): Value[] => [
  ...[tick, slot, keptSlot, forward, backward, inputs, loss],
  ...[kept, sums, logits].flatMap((values) => [...values.values()]),
];

/** @param like has the names of the values */
function unflatten(values: readonly Value[], like: TickState): TickState {
  const [tick, slot, keptSlot, forward, backward, inputs, loss, ...rest] = values as [
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    ...Value[],
  ];
  const named = [...rest];
  const take = (names: ReadonlyMap<string, Value>): Map<string, Value> =>
    new Map([...names.keys()].map((name) => [name, ensure(named.shift(), name)]));
  const [kept, sums, logits] = [take(like.kept), take(like.sums), take(like.logits)] as const;
  return { tick, slot, keptSlot, forward, backward, inputs, loss, kept, sums, logits };
}
