import { gradients, gradientsFrom } from "@lapidary/compiler";
import { type GraphBuilder, tensorType, type TensorType, type Value } from "@lapidary/ir";
import { borderAxes, fromStage, partAt, forwardTick, withPart } from "@lapidary/models";
import { assert, ensure } from "@lapidary/std";
import { stepLoss } from "../token-loss.js";
import { BackwardPhase } from "./backward-tick.js";
import type { PassInputs, PassResult } from "./passes.js";

/** Everything that the ticks carry. `sums` are the gradients of the stacks, `head` those of the other parameters. */
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
  /** The gradient of the input of the first stage [rows, M, T, D]. */
  readonly left: Value;
  readonly loss: Value;
  readonly sums: readonly Value[];
  readonly head: readonly Value[];
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
  /** The inputs of the first stage [rows, M, T, D]. */
  readonly #entering: Value;
  readonly #trained: readonly Value[];

  constructor(
    readonly g: GraphBuilder,
    readonly inputs: PassInputs,
  ) {
    const { pipeline, microbatches, weights, fragment, x, others } = inputs;
    const [B = 0, T = 0, D = 0] = x.type.dims;
    this.#S = pipeline.stages;
    this.#M = microbatches;
    this.#slots = 2 * this.#S - 1;
    this.#phase = new BackwardPhase(g, pipeline, weights, fragment);
    this.#entering = g.reshape(g.constrain(x, borderAxes), [B / microbatches, microbatches, T, D]);
    this.#trained = others.map((name) => ensure(weights.get(name), name));
  }

  run(): PassResult {
    const { g } = this;
    const [S, M] = [this.#S, this.#M];
    // The mean over the stages of the ticks of a region in which a stage has no microbatch.
    const idle = (S - 1) / 2;
    const warm = this.#repeat(S - 1, idle, this.#initial(), ["forward"]);
    const steady = this.#repeat(M, idle, { ...warm, ...this.#zeros() }, ["forward", "loss", "backward"]);
    const ofSteady = this.#asGradients(steady.sums);
    // Sums that begin with zeros may stay partial sums of the chips.
    const cool = g.inPhase("backward", () =>
      this.#repeat(S - 1, idle, { ...steady, sums: this.#zeros().sums, head: [], logits: [] }, ["backward"]),
    );
    const ofCool = this.#asGradients(cool.sums);
    const sums = g.inPhase("backward", () => ofSteady.map((sum, i) => g.named("gradient_sum", g.add(sum, ensure(ofCool[i], "sum")))));
    const { x, batch, model } = this.inputs;
    return {
      loss: steady.loss,
      ofInput: g.reshape(cool.left, x.type.dims),
      ofStacks: new Map(this.#phase.stacks.map((stack, i) => [stack, ensure(sums[i], stack)])),
      ofOthers: steady.head,
      logits: () => {
        const [logits] = steady.logits;
        return g.reshape(ensure(logits, "logits"), [...batch.tokens.type.dims, model.vocabSize]);
      },
    };
  }

  #stateType(): TensorType {
    const [rows = 0, , T = 0, D = 0] = this.#entering.type.dims;
    return tensorType("f32", [this.#S, rows, T, D]);
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
      left: g.splat(0, this.#entering.type),
      loss: g.scalar(0),
      sums: [],
      head: [],
      logits: [],
    };
  }

  #zeros(): Pick<TickState, "sums" | "head" | "logits"> {
    const { g } = this;
    const { weights, withLogits = false, model } = this.inputs;
    const [rows = 0, M = 0, T = 0] = this.#entering.type.dims;
    return {
      sums: this.#phase.stacks.map((stack) => g.splat(0, ensure(weights.get(stack), stack).type)),
      head: this.#trained.map(({ type }) => g.splat(0, type)),
      logits: withLogits ? [g.splat(0, tensorType("f32", [rows, M, T, model.vocabSize]))] : [],
    };
  }

  /** Yields as gradients, which ZeRO splits. */
  #asGradients(sums: readonly Value[]): Value[] {
    const { model } = this.inputs;
    return this.#phase.stacks.map((stack, i) => {
      const { logicalAxes } = ensure(
        model.params.find(({ name }) => name === stack),
        stack,
      );
      return this.g.named("gradient_sum", ensure(sums[i], stack), logicalAxes, "gradient");
    });
  }

  #repeat(count: number, idle: number, state: TickState, phases: readonly Phase[]): TickState {
    const lists = [state.sums.length, state.head.length, state.logits.length] as const;
    const flat = flatten(state);
    const result = this.g.repeat(count, flat, (carried) => flatten(this.#tick(unflatten(carried, lists), phases)), idle);
    return unflatten(result, lists);
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
      const { input, output } = forwardTick(g, this.inputs, partAt(g, this.#entering, state.tick), state.forward);
      const [S = 0, ...rest] = input.type.dims;
      return { ...state, forward: output, ring: g.dynamicUpdateSlice(state.ring, g.reshape(input, [S, 1, ...rest]), state.slot, 1) };
    });
  }

  /** The loss of the microbatch that leaves the last stage, as its share of the loss of the batch. */
  #loss(state: TickState): { readonly state: TickState; readonly cotangent: Value } {
    const { g } = this;
    const { model, pipeline, weights, batch, chunks, total } = this.inputs;
    const microbatch = g.offset(state.tick, 1 - this.#S);
    const output = fromStage(g, state.forward, this.#S - 1);
    const part = (x: Value): Value => {
      const [B = 0, T = 0] = x.type.dims;
      return partAt(g, g.reshape(x, [B / this.#M, this.#M, T]), microbatch);
    };
    const hidden = pipeline.final(g, weights, output);
    const inputs = { weights, hidden, targets: part(batch.targets), mask: part(batch.mask), total };
    const { loss, known, logits } = stepLoss(g, model, inputs, { chunks, trained: this.#trained });
    const wrt = [output, ...this.#trained];
    const [cotangent, ...ofHead] = (known === undefined ? gradients(g, loss, wrt) : gradientsFrom(g, known, wrt)) as [Value, ...Value[]];
    const head = g.inPhase("backward", () => ofHead.map((own, i) => g.named("gradient_sum", g.add(ensure(state.head[i], "sum"), own))));
    const logitsNext = state.logits.map((before) => withPart(g, before, logits(), microbatch));
    return { state: { ...state, loss: g.named("loss_sum", g.add(state.loss, loss)), head, logits: logitsNext }, cotangent };
  }

  #backward(state: TickState, entering: Value | undefined): TickState {
    const { g } = this;
    const phase = this.#phase;
    return g.scope("backward_tick", () => {
      const cotangents = phase.cotangents(state.backward, entering === undefined ? undefined : { value: entering });
      const { ofInputs, ofStacks } = phase.tick(this.#inputsOf(state), cotangents);
      const microbatch = g.offset(state.tick, 2 - 2 * this.#S);
      const left = withPart(g, state.left, fromStage(g, ofInputs, 0), microbatch);
      const sums = phase.stacks.map((stack, i) =>
        g.named("gradient_sum", g.add(ensure(state.sums[i], stack), ensure(ofStacks.get(stack), stack))),
      );
      return { ...state, backward: ofInputs, left, sums };
    });
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

const flatten = ({ tick, slot, forward, backward, ring, left, loss, sums, head, logits }: TickState): Value[] => [
  ...[tick, slot, forward, backward, ring, left, loss],
  ...[...sums, ...head, ...logits],
];

function unflatten(values: readonly Value[], [sums, head, logits]: readonly [number, number, number]): TickState {
  const [tick, slot, forward, backward, ring, left, loss, ...rest] = values as [
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    ...Value[],
  ];
  const lists = { sums: rest.slice(0, sums), head: rest.slice(sums, sums + head), logits: rest.slice(sums + head, sums + head + logits) };
  return { tick, slot, forward, backward, ring, left, loss, ...lists };
}
