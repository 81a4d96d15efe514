import { type Graph, type GraphBuilder, inlineBatched, parametersOf, tensorType, type Value } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import type { ParamValues } from "../model.js";
import { passedBy, placeOf } from "./microbatch-place.js";
import type { Pipeline } from "./pipeline.js";

/** The state of all stages [S, rows, T, D]. */
const stateAxes = ["stages", "batch", "activation_seq", "activation_embed"] as const;
/** The state within a stage. Only rules of the sequence split its positions, so that matmuls have the other axes for their weights. */
const withinAxes = ["stages", "batch", "seq", null] as const;
/** What enters the first stage and leaves the last one [rows, T, D]: chips of all stages have a part of the positions. */
export const borderAxes = ["batch", "pipeline_seq", null] as const;

interface ForwardInputs {
  readonly pipeline: Pipeline;
  /** Of `Pipeline.stage`, for the rows of a microbatch. */
  readonly fragment: Graph;
  readonly weights: ParamValues;
  /** i32[B, T] */
  readonly tokens: Value;
  readonly microbatches: number;
  /** Whether the inputs of all stages are kept for a backward pass. */
  readonly keepInputs?: boolean;
}

export interface ForwardResult {
  /** The output of the last stage [B, T, D]. */
  readonly output: Value;
  /** By tick, the inputs of all stages [ticks, S, rows, T, D]. */
  readonly inputs: Value | undefined;
}

/**
 * The ticks of the forward pass. In each, all stages compute at once, stage s the microbatch t − s, and the state moves to the next stage:
 *
 *     tick      0    1    2    3    4          M = 3 microbatches, S = 3 stages
 *     stage 0   m0   m1   m2   ·    ·
 *     stage 1   ·    m0   m1   m2   ·
 *     stage 2   ·    ·    m0   m1   m2
 *
 * A stage without a microbatch computes numbers that nothing reads. Microbatch m has the rows m, m + M and so on, as in `accumulate`.
 *
 * With v repeats there are v · M + S − 1 ticks. In tick t ≥ M, the first stage takes the output that the last stage had for the microbatch in
 * the repeat before. This output exists if M ≥ S.
 */
export function runForward(
  g: GraphBuilder,
  { pipeline, fragment, weights, tokens, microbatches: M, keepInputs = false }: ForwardInputs,
): ForwardResult {
  const { stages: S, repeats } = pipeline;
  assert(repeats === 1 || M >= S, "with repeats, there are at least as many microbatches as stages", M, S);
  const ticks = ticksOf(pipeline, M);
  const [B = 0, T = 0] = tokens.type.dims;
  const parts = partsOf(g, tokens, M);
  const one = ensure(fragment.values[0], "x").type;
  const [rows = 0, , D = 0] = one.dims;
  const state = g.splat(0, tensorType("f32", [S, ...one.dims]));
  const initial = [g.scalar(0, "i32"), state, g.splat(0, tensorType("f32", [rows, M, T, D]))];
  if (keepInputs) initial.push(g.splat(0, tensorType("f32", [ticks, ...state.type.dims])));
  const tickOf = (carried: readonly Value[]): Value[] =>
    g.inTick("forward", () => {
      const [tick, before, left, kept] = carried as [Value, Value, Value, Value | undefined];
      const again = repeats === 1 ? undefined : { left, microbatches: M };
      const { input, output: y } = forwardTick(g, { pipeline, fragment, weights }, { tick, tokens: partAt(g, parts, tick), before, again });
      const written = withPart(g, left, fromStage(g, y, S - 1), placeOf(g, g.offset(tick, 1 - S), M, repeats).microbatch);
      const keptNext = kept === undefined ? [] : [g.dynamicUpdateSlice(kept, g.reshape(input, [1, ...state.type.dims]), tick, 0)];
      return [g.offset(tick, 1), y, written, ...keptNext];
    });
  const [, , output, inputs] = g.repeat(ticks, initial, tickOf, { forward: idleOfPass(S) }) as [Value, Value, Value, Value | undefined];
  return { output: g.reshape(output, [B, T, D]), inputs };
}

/** The ticks of a pass over all microbatches. */
export const ticksOf = ({ stages, repeats }: Pick<Pipeline, "stages" | "repeats">, microbatches: number): number =>
  repeats * microbatches + stages - 1;

/** By stage, the ticks of a pass in which the stage has no microbatch. */
export const idleOfPass = (stages: number): number[] => Array<number>(stages).fill(stages - 1);

/** What a forward tick begins with. */
interface ForwardTickInputs {
  /** i32 */
  readonly tick: Value;
  /** The tokens of the microbatch that enters the first stage i32[rows, T]. */
  readonly tokens: Value;
  /** The outputs of the stages in the tick before [S, rows, T, D]. */
  readonly before: Value;
  /** With repeats: what left the last stage in the repeat before [rows, M, T, D], for ticks after the first repeat. */
  readonly again?: { readonly left: Value; readonly microbatches: number } | undefined;
}

/** One forward tick of all stages. */
export function forwardTick(
  g: GraphBuilder,
  { pipeline, fragment, weights }: Pick<ForwardInputs, "pipeline" | "fragment" | "weights">,
  { tick, tokens, before, again }: ForwardTickInputs,
): { readonly input: Value; readonly output: Value } {
  const { stages, repeats } = pipeline;
  const moved = g.named("to_next_stage", g.shift(before, 0, 1, false));
  const fresh = pipeline.embed(g, weights, tokens);
  const entering = again === undefined ? fresh : reentering(g, tick, fresh, again, repeats);
  const input = g.named("input", enterStage(g, atStage(g, before, 0), entering, moved));
  const repeat = again === undefined ? undefined : placeOf(g, passedBy(g, tick, stages), again.microbatches, repeats).repeat;
  const states = new Map([["x", input]]);
  const y = runStages(g, { pipeline, fragment, weights }, { states, repeat, prefix: "forward_tick." }).get("y");
  return { input, output: betweenStages(g, ensure(y, "output")) };
}

/** The input of the first stage: a new microbatch in the first repeat, then what left the last stage in the repeat before. */
function reentering(
  g: GraphBuilder,
  tick: Value,
  fresh: Value,
  { left, microbatches }: NonNullable<ForwardTickInputs["again"]>,
  repeats: number,
): Value {
  const isAgain = g.compare(tick, g.scalar(microbatches, "i32"), "GE");
  const next = partAt(g, left, placeOf(g, tick, microbatches, repeats).microbatch);
  return g.named("reentering", g.select(g.broadcastInDim(isAgain, fresh.type.dims, []), next, fresh));
}

/** A state that moves to another stage. */
export const betweenStages = (g: GraphBuilder, state: Value): Value => g.constrain(state, stateAxes);

/** The states of a fragment by its parameters, and what is done with its outputs: see `inlineBatched`. */
interface StageStates {
  readonly states: ReadonlyMap<string, Value>;
  /** Further inputs of the fragment [S, …], whose sharding propagation decides. */
  readonly kept?: ReadonlyMap<string, Value>;
  /** With repeats: the repeat of each stage, i32[S]. */
  readonly repeat?: Value | undefined;
  readonly prefix: string;
  readonly onOutput?: (name: string, value: Value) => Value;
}

/** Appends a fragment of a stage for all stages at once. */
export function runStages(
  g: GraphBuilder,
  { pipeline: { stages, stacks }, fragment, weights }: Pick<ForwardInputs, "pipeline" | "fragment" | "weights">,
  { states, kept = new Map(), repeat, prefix, onOutput }: StageStates,
): Map<string, Value> {
  const used = new Set(parametersOf(fragment).map(({ attrs }) => attrs.name));
  const stack = (name: string): [string, Value] => {
    const whole = ensure(weights.get(ensure(stacks.get(name), name)), name);
    return [name, repeat === undefined ? whole : weightsOfRepeat(g, whole, repeat)];
  };
  const within = [...states].map(([name, state]): [string, Value] => [name, g.constrain(state, withinAxes)]);
  const inputs = new Map([...within, ...kept, ...[...stacks.keys()].filter((name) => used.has(name)).map(stack)]);
  return inlineBatched(g, fragment, { size: stages, axis: "stages", inputs, prefix, ...(onOutput === undefined ? {} : { onOutput }) });
}

/** The weights [S, …] that each stage has in its repeat, from a stack [S, repeats, …]. */
function weightsOfRepeat(g: GraphBuilder, stack: Value, repeat: Value): Value {
  const [stages = 0, , ...rest] = stack.type.dims;
  return g.inBlock(stack.scope.block, () => {
    const found = g.gather(stack, g.reshape(repeat, [stages, 1]), 1);
    return g.named(stack.name, g.reshape(g.named(stack.name, found), [stages, ...rest]));
  });
}

/** The stack [S, repeats, …] that is zero but for `own` [S, …], which each stage has in its repeat. */
export function atRepeat(g: GraphBuilder, own: Value, repeat: Value, repeats: number): Value {
  const [stages = 0, ...rest] = own.type.dims;
  return g.scatter(g.reshape(repeat, [stages, 1]), g.reshape(own, [stages, 1, ...rest]), repeats, 1);
}

/** Where a state [S, …] is that of the stage. */
export function atStage(g: GraphBuilder, state: Value, stage: number): Value {
  const { dims } = state.type;
  const places = tensorType("i32", [dims[0] ?? 1]);
  return g.broadcastInDim(g.compare(g.iota(places, 0), g.splat(stage, places), "EQ"), dims, [0]);
}

/** The state [S, rows, T, D] of the next tick: `next` [rows, T, D], which chips of all stages have together, in the place of `isNext`. */
export function enterStage(g: GraphBuilder, isNext: Value, next: Value, moved: Value): Value {
  const whole = g.named("to_stage", g.constrain(next, stateAxes.slice(1)));
  return g.constrain(g.select(isNext, g.broadcastInDim(whole, moved.type.dims, [1, 2, 3]), moved), stateAxes);
}

/** The array of one stage, whose positions are spread over the chips of all stages. */
export function fromStage(g: GraphBuilder, state: Value, stage: number): Value {
  const only = g.select(atStage(g, state, stage), state, g.splat(0, state.type));
  return g.named("from_stage", g.constrain(g.reduce(only, [0], "sum"), borderAxes));
}

/** [B, …] as [B/M, M, …]: part m has the rows m, m + M and so on. */
export function partsOf(g: GraphBuilder, x: Value, parts: number): Value {
  const [B = 0, ...rest] = x.type.dims;
  assert(B % parts === 0, "the number of microbatches divides the rows", B, parts);
  return g.reshape(x, [B / parts, parts, ...rest]);
}

/** Part `index` of [rows, M, T, D]: [rows, T, D]. An index outside is that of the nearest part. */
export function partAt(g: GraphBuilder, parts: Value, index: Value): Value {
  const [rows = 0, , ...rest] = parts.type.dims;
  return g.reshape(g.dynamicSlice(parts, index, 1, 1), [rows, ...rest]);
}

/** [rows, M, T, D] with another part `index`. An index outside is that of the nearest part, which a later tick writes again. */
export function withPart(g: GraphBuilder, parts: Value, part: Value, index: Value): Value {
  const [rows = 0, ...rest] = part.type.dims;
  return g.dynamicUpdateSlice(parts, g.reshape(part, [rows, 1, ...rest]), index, 1);
}
