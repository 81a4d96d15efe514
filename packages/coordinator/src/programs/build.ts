import { createHash } from "node:crypto";
import { compile, type LogicalAxisRules, type Program, type RematPolicy, type ZeroOptions } from "@lapidary/compiler";
import { type Graph, printGraph } from "@lapidary/ir";
import { gemma, type GemmaConfig } from "@lapidary/models";
import { makeMesh, type MeshAxis } from "@lapidary/topology";
import { evalStep, initGraph, nextTokenLogits, trainState, trainStep, type UpdateConfig } from "@lapidary/training";
import { type ProgramFacts, programFacts } from "./facts.js";

/** All that decides the programs of a run. JSON: its text is what the cache goes by. */
export interface ProgramRequest {
  readonly model: GemmaConfig;
  readonly update: UpdateConfig;
  readonly batch: number;
  readonly seq: number;
  readonly seed: number;
  readonly mesh: readonly MeshAxis[];
  readonly rules: LogicalAxisRules;
  readonly zero: ZeroOptions;
  readonly remat: RematPolicy;
}

/** The programs of a run, by what they are for. */
export const programNames = ["init", "train_step", "eval_step", "next_token"] as const;
export type ProgramName = (typeof programNames)[number];

/** A program as it is sent to workers: the text of its per-chip graph. */
export interface ProgramText {
  /** Of the text. */
  readonly hash: string;
  readonly text: string;
}

export interface ProgramSet {
  readonly programs: Readonly<Record<ProgramName, ProgramText>>;
  readonly facts: ProgramFacts;
}

/**
 * Traces and compiles every program of a run.
 *
 *     init         → params/…, adam_m/…, …, step             state of step 0
 *     train_step   state, batch → state, metrics
 *     eval_step    params, batch → loss_sum, tokens_counted
 *     next_token   params, tokens i32[1,T], position i32[1] → logits f32[1,V]
 *
 * A state has the same sharding in all of them, for it follows from its role and logical axes alone.
 *
 * @throws LapidaryError whatever does not fit: a batch that the mesh does not divide, rules that contradict one another
 */
export function buildPrograms(request: ProgramRequest, onProgress: (done: number, total: number) => void = () => undefined): ProgramSet {
  const { update, batch, seq } = request;
  const model = gemma(request.model);
  let done = 0;
  const make = (graph: Graph, rules = request.rules): Program => {
    const program = compile(graph, { mesh: makeMesh(request.mesh), rules: rulesOf(graph, rules), zero: request.zero, remat: request.remat });
    onProgress(++done, programNames.length);
    return program;
  };
  const train = make(trainStep(model, update, { batch, seq }));
  // One row of text does not divide over the data axes: every replica computes it.
  const alone = { ...request.rules, batch: null };
  const programs: Record<ProgramName, ProgramText> = {
    train_step: textOf(train),
    init: textOf(make(initGraph(trainState(model, update.optimizer), request.seed))),
    eval_step: textOf(make(evalStep(model, { batch, seq }))),
    next_token: textOf(make(nextTokenLogits(model, { batch: 1, seq }), alone)),
  };
  return { programs, facts: programFacts(train) };
}

export function textOf(program: Program): ProgramText {
  const text = printGraph(program.chip);
  return { text, hash: createHash("sha256").update(text).digest("hex") };
}

/** The rules that speak of this graph (`heads/16` is the axis `heads`): one program of a run need not have all logical axes of the others. */
export function rulesOf(graph: Graph, rules: LogicalAxisRules): LogicalAxisRules {
  const known = new Set(graph.values.flatMap(({ logicalAxes }) => (logicalAxes ?? []).flatMap((axis) => (axis === null ? [] : [axis.split("/")[0]]))));
  return Object.fromEntries(Object.entries(rules).filter(([axis]) => known.has(axis)));
}
