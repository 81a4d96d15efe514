import { compile, type CompileOptions, type Program } from "@lapidary/compiler";
import type { Graph } from "@lapidary/ir";
import { buildModel, type ModelConfig } from "@lapidary/models";
import {
  compileOptions,
  evalStep,
  initGraph,
  nextTokenLogits,
  type ResolvedJob,
  type StateSpec,
  trainState,
  trainStep,
  type UpdateConfig,
} from "@lapidary/training";
import { type ViewMachine, makeProgramView } from "@lapidary/telemetry";
import type { ProgramView } from "@lapidary/api/program-view";
import { type ProgramFacts, programFacts } from "./facts.js";
import { type ProgramText, programText } from "@lapidary/cluster";

/** Everything that decides the programs of a run, as JSON. Its text is the key of the cache. */
export interface ProgramRequest
  extends Pick<ResolvedJob, "mesh" | "slice" | "rules" | "unapplied" | "zero" | "remat" | "bucket_bytes" | "seed"> {
  readonly model: ModelConfig;
  readonly update: UpdateConfig;
  readonly batch: number;
  readonly seq: number;
  /** The chip and pods for the timing of the step. Without it no view of the program is made. */
  readonly machine?: ViewMachine;
}

export function programRequest({
  model,
  train,
  mesh,
  slice,
  rules,
  unapplied,
  zero,
  remat,
  bucket_bytes,
  seed,
}: ResolvedJob): ProgramRequest {
  const { steps, optimizer, schedule, clip, batch, seq } = train;
  return {
    mesh,
    slice,
    rules,
    ...(unapplied === undefined ? {} : { unapplied }),
    zero,
    remat,
    bucket_bytes,
    seed,
    model: model.config,
    update: { steps, optimizer, schedule, ...(clip === undefined ? {} : { clip }) },
    batch,
    seq,
  };
}

/** The programs of a run, by purpose. */
const programNames = ["init", "train_step", "eval_step", "next_token"] as const;
export type ProgramName = (typeof programNames)[number];

/** An array of the state: its name in the programs, its role, and its weight. JSON. */
export type RunState = Pick<StateSpec, "name" | "role" | "weight">;

export interface ProgramSet {
  readonly programs: Readonly<Record<ProgramName, ProgramText>>;
  /** The state between steps, in the order of the parameters of the programs. */
  readonly states: readonly RunState[];
  readonly facts: ProgramFacts;
  /** Facts of the train step. */
  readonly view?: ProgramView;
}

/**
 * Traces and compiles every program of a run.
 *
 *     init         → params/…, adam_m/…, …, step             state of step 0
 *     train_step   state, batch → state, metrics
 *     eval_step    params, batch → loss_sum, tokens_counted
 *     next_token   params, tokens i32[1,T], position i32[1] → logits f32[1,V]
 *
 * An array of the state has the same sharding in all programs, because the sharding depends on its role and logical axes alone.
 *
 * @throws LapidaryError if the job does not fit: a batch that the mesh does not divide, rules that contradict one another
 */
export function buildPrograms(request: ProgramRequest, onProgress: (done: number, total: number) => void = () => undefined): ProgramSet {
  const { update, batch, seq } = request;
  const model = buildModel(request.model);
  let done = 0;
  const make = (graph: Graph, change: Partial<CompileOptions["rules"]> = {}): Program => {
    const options = compileOptions(request, graph);
    const program = compile(graph, { ...options, rules: { ...options.rules, ...change } as CompileOptions["rules"] });
    onProgress(++done, programNames.length);
    return program;
  };
  const states = trainState(model, update.optimizer);
  const train = make(trainStep(model, update, { batch, seq }));
  const programs: Record<ProgramName, ProgramText> = {
    train_step: programText(train.chip),
    init: programText(make(initGraph(states, request.seed)).chip),
    eval_step: programText(make(evalStep(model, { batch, seq })).chip),
    // One row of text does not divide over the data axes: every replica computes it.
    next_token: programText(make(nextTokenLogits(model, { batch: 1, seq }), { batch: null }).chip),
  };
  return {
    programs,
    states: states.map(({ name, role, weight }) => ({ name, role, ...(weight === undefined ? {} : { weight }) })),
    facts: programFacts(train),
    ...(request.machine === undefined ? {} : { view: makeProgramView(train, request.machine) }),
  };
}
