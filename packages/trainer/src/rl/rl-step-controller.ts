import { type RolloutMetrics, maskedMean, rolloutMetrics, valueMetrics, type ValueMetrics } from "@lapidary/evaluation";
import type { Graph } from "@lapidary/ir";
import { inSet, rlStep, type RlConfig, rolloutLogProbs, score, trainedStates, withValueModel } from "@lapidary/post-training";
import { type ArrayData, handleOf, type RunReport, stepIndex, type StepIndex } from "@lapidary/protocol";
import { assert, type Clock, ensure, systemClock, type Warning } from "@lapidary/std";
import { gatherRollout, paramName, rolloutDecode, rolloutPrefill, type RolloutShape, type StateSpec } from "@lapidary/training";
import { LoadedProgram, type ParameterSet, type ProgramHost, programName } from "./program-host.js";
import { klTooLarge, samplerGap, wrongReference } from "./rl-errors.js";
import { referenceInputs, valueInputs } from "./rl-step-runs.js";
import type { RlGraphSettings, RlPrompt, RlSettings } from "./rl-settings.js";
import { type DrawnRollout, Rollout } from "./rollout.js";
import {
  type CompletionEnds,
  completionEnds,
  type SequenceRows,
  sequenceRows,
  takeCompletions,
  trimmedCompletions,
} from "./rollout-rows.js";
import { type RolloutScores, Scorer, scoreShape } from "./scores.js";

/** Milliseconds of the phases of a step. `reference` is the log-probabilities of policy and reference, and the old values. */
interface RlTimes {
  readonly prefill: number;
  readonly decode: number;
  readonly score: number;
  readonly reference: number;
  readonly update: number;
}

/** The metrics of a step. `rewards` has each source, and `score`, which is their weighted sum after the rule for cut-off completions. */
export interface RlStepMetrics extends RolloutMetrics {
  /** KL to the reference, nats a completion: mean over completions of the sum over their tokens. */
  readonly klPerCompletion: number;
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly value?: ValueMetrics & { readonly loss: number };
  readonly ms: RlTimes;
  /** Tokens of completions by the time of prefill and decode, and of rows by the time of the update. */
  readonly tokensPerSecond: { readonly rollout: number; readonly update: number };
}

/** A completion of the first group of a step, for people. */
interface RlSample {
  readonly prompt: string;
  readonly completion: string;
  /** As in `rewards.score`. */
  readonly score: number;
}

export interface RlStepResult {
  readonly metrics: RlStepMetrics;
  readonly samples: readonly RlSample[];
  readonly warnings: readonly Warning[];
}

/** Inputs of the programs over prompts and completions. */
const sequenceInputs = ["tokens", "targets", "mask", "segments"] as const;
const logProbOutputs = ["logps", "reference_logps", "entropy", "kl"] as const;
type LogProbs = Readonly<Record<(typeof logProbOutputs)[number], Float32Array>> & {
  /** PPO: the value model before the update. */
  readonly values?: Float32Array;
};

const handle = (name: string): ReturnType<typeof handleOf> => handleOf(`rl/${name}`);

interface Programs {
  readonly rollout: Rollout;
  readonly scorer: Scorer;
  readonly logProbs: LoadedProgram;
  /** PPO: the value model before the update. */
  readonly values: LoadedProgram | undefined;
  /** The last update on a rollout, of which results stay on the workers. */
  readonly update: LoadedProgram;
  readonly earlierUpdate: LoadedProgram;
}

/**
 * One step of reinforcement learning: rollout → scores → log-probabilities of policy and reference → updates → metrics. The step is a function of
 * (states, seed, step), so that an interrupted step can be computed again.
 *
 * The states of the policy, and the weights of the sets `reference` and those of reward models, are arrays of the worker group (`weightHandle`).
 */
export class RlStepController {
  readonly #host: ProgramHost;
  readonly #settings: RlSettings;
  readonly #programs: Programs;
  readonly #clock: Clock;

  private constructor(host: ProgramHost, settings: RlSettings, programs: Programs) {
    this.#host = host;
    this.#settings = settings;
    this.#programs = programs;
    this.#clock = settings.clock ?? systemClock;
  }

  static async load(host: ProgramHost, settings: RlSettings): Promise<RlStepController> {
    const { model, rollout: r, clock } = settings;
    assert(settings.iterations >= 1 && r.temperature > 0, "a step has an update and a temperature", settings.iterations, r.temperature);
    const shape = rolloutShape(settings);
    const draw = { temperature: r.temperature, stopTokens: r.stopTokens, ...(r.weights === undefined ? {} : { weights: r.weights }) };
    return new RlStepController(host, settings, {
      rollout: await Rollout.load(host, { model, shape, draw, ...(clock === undefined ? {} : { clock }) }),
      scorer: await Scorer.load(host, settings),
      logProbs: await loadLogProbs(host, settings),
      values: settings.algorithm.algorithm === "ppo" ? await loadValues(host, settings) : undefined,
      update: await loadUpdate(host, settings, updateResults(settings.algorithm.algorithm)),
      earlierUpdate: await loadUpdate(host, settings, []),
    });
  }

  /** Makes the states of the first step: given weights, zeros for the optimizer and the count of steps. */
  async initialize(weights: ReadonlyMap<string, ArrayData>): Promise<void> {
    const states = rlStates(this.#settings).map(({ name, dims, role, weight = "" }): [string, ArrayData] => {
      const zeros = { dtype: "f32" as const, dims, data: new Float32Array(dims.reduce((product, size) => product * size, 1)) };
      return [name, role === "param" ? ensure(weights.get(weight), `weight ${weight}`) : zeros];
    });
    await this.putStates(new Map(states));
  }

  /** Replaces states, by name. */
  async putStates(states: ReadonlyMap<string, ArrayData>): Promise<void> {
    await Promise.all([...states].map(([name, array]) => this.#programs.update.put(name, array)));
  }

  /** Gives a frozen set, `reference` or that of a reward model, its weights. */
  async putSet(set: ParameterSet, weights: ReadonlyMap<string, ArrayData>): Promise<void> {
    await Promise.all(
      [...weights].map(([name, array]) =>
        set === "reference"
          ? this.#programs.logProbs.put(paramName(inSet(set, name)), array)
          : this.#programs.scorer.putWeight(set, name, array),
      ),
    );
  }

  /** Step number `k`, from 0. @throws LAP_RL_SAMPLER_GAP, LAP_RL_KL, LAP_RL_REFERENCE, LAP_RL_CUT_OFF and the errors of checkers and workers */
  async step(k: number, { batch = k, trace = false }: StepOptions = {}): Promise<RlStepResult> {
    const { rollout: r, seed, promptsOf } = this.#settings;
    const step = stepIndex(k);
    const groups = promptsOf(batch);
    assert(groups.length === r.prompts, "a step has its number of prompts", groups.length, r.prompts);
    const prompts = groups.flatMap((prompt) => Array.from({ length: r.generations }, () => prompt));
    const drawn = await this.#programs.rollout.draw({ prompts: groups, seed, rollout: batch, step });
    const ends = completionEnds(drawn.completions, r.newTokens, r.stopTokens);
    const completions = trimmedCompletions(drawn, r.newTokens, ends);
    const [scores, scoreMs] = await this.#timed(() => this.#programs.scorer.score({ prompts, completions, ends, step }));
    const rows = sequenceRows(prompts, r.promptTokens, completions, r.newTokens);
    const [before, referenceMs] = await this.#timed(() => this.#logProbsOf(rows, step));
    const [updated, updateMs] = await this.#timed(() => this.#update({ rows, ends, scores, before, step, trace }));
    const ms: RlTimes = { prefill: drawn.prefillMs, decode: drawn.decodeMs, score: scoreMs, reference: referenceMs, update: updateMs };
    const metrics = this.#metricsOf({ drawn, ends, scores, rows, before, updated, ms });
    this.#guard(k, metrics);
    const { text } = this.#settings;
    const samples = groups.slice(0, 1).flatMap((prompt) =>
      Array.from({ length: r.generations }, (_, row) => ({
        prompt: prompt.text,
        completion: text.decode([...ensure(completions[row], "completion")]),
        score: ensure(scores.scores[row], "score"),
      })),
    );
    return { metrics, samples, warnings: warningsOf(k, metrics) };
  }

  /** Draws completions to other prompts and scores them. The states do not change. */
  async evaluate(groups: readonly RlPrompt[], batch: number): Promise<RolloutScores & { readonly lengths: Int32Array }> {
    const { rollout: r, seed } = this.#settings;
    const step = stepIndex(0);
    const prompts = groups.flatMap((prompt) => Array.from({ length: r.generations }, () => prompt));
    const drawn = await this.#programs.rollout.draw({ prompts: groups, seed, rollout: evaluationRollout + batch, step });
    const ends = completionEnds(drawn.completions, r.newTokens, r.stopTokens);
    const completions = trimmedCompletions(drawn, r.newTokens, ends);
    return { ...(await this.#programs.scorer.score({ prompts, completions, ends, step })), lengths: ends.lengths };
  }

  async #timed<T>(work: () => Promise<T>): Promise<[T, number]> {
    const begin = this.#clock.monotonic();
    return [await work(), this.#clock.monotonic() - begin];
  }

  async #logProbsOf(rows: SequenceRows, step: StepIndex): Promise<LogProbs> {
    const { group } = this.#host;
    const { logProbs, values } = this.#programs;
    const puts = putRows(logProbs, rows, this.#dims);
    // The program also returns the score at one position, which has no use here.
    const last = new Int32Array(ensure(this.#dims[0], "rows"));
    if (values !== undefined) puts.push(values.put("last", { dtype: "i32", dims: [last.length], data: last }));
    const ran = [logProbs.run(step), ...(values === undefined ? [] : [values.run(step)])];
    const names = [...logProbOutputs, ...(values === undefined ? [] : ["values" as const])];
    const fetched = Promise.all(names.map((name) => group.fetch(handle(name))));
    await Promise.all([...puts, ...ran, group.drop(names.map(handle))]);
    return Object.fromEntries((await fetched).map(({ data }, i) => [names[i], data])) as unknown as LogProbs;
  }

  /** The updates on one rollout. */
  async #update({ rows, ends, scores, before, step, trace }: UpdateInputs): Promise<UpdateResult> {
    const { group } = this.#host;
    const { update, earlierUpdate } = this.#programs;
    const { iterations, cutOff, algorithm } = this.#settings;
    const dims = this.#dims;
    const perToken = (name: string, data: Float32Array): Promise<void> => update.put(name, { dtype: "f32", dims, data });
    const counted = cutOff.rule === "mask" ? withoutCutOff(rows.mask, ends) : rows.mask;
    const isGrpo = algorithm.algorithm === "grpo";
    const puts = [
      perToken("mask", isGrpo ? rows.mask : counted),
      perToken("old_logps", before.logps),
      perToken("reference_logps", before.reference_logps),
      update.put("scores", { dtype: "f32", dims: [ends.lengths.length], data: scores.scores }),
      ...(isGrpo ? [perToken("counted", counted)] : []),
      ...(before.values === undefined ? [] : [perToken("old_values", before.values)]),
    ];
    const results = updateResults(algorithm.algorithm);
    const earlier = Array.from({ length: iterations - 1 }, () => earlierUpdate.run(step));
    const ran = update.run(step, true, trace);
    const fetched = Promise.all(results.map((name) => group.fetch(handle(`update/${name}`))));
    const ofAlgorithm = [...(isGrpo ? ["counted"] : []), ...(before.values === undefined ? [] : ["old_values"])];
    const used = [...sequenceInputs, "old_logps", "reference_logps", "scores", ...ofAlgorithm];
    const dropped = group.drop([...used.map(handle), ...results.map((name) => handle(`update/${name}`))]);
    const [report, arrays] = await Promise.all([ran, fetched, ...puts, ...earlier, dropped]);
    return { report, arrays: new Map(arrays.map((array, i) => [ensure(results[i], "result"), array])) };
  }

  #metricsOf(done: StepResults): RlStepMetrics {
    const { drawn, ends, scores, rows, before, updated, ms } = done;
    const { rollout: r, algorithm } = this.#settings;
    const shape = rolloutShape(this.#settings);
    const take = (values: ArrayLike<number>): Float32Array => takeCompletions(values, shape);
    const result = (name: string): Float32Array => take(ensure(updated.arrays.get(name), name).data);
    const mask = take(rows.mask);
    const advantages = ensure(updated.arrays.get("advantages"), "advantages");
    const fullKl = take(before.kl);
    const number = (name: string): number => ensure(updated.report.scalars.get(name), name);
    const metrics = rolloutMetrics({
      rows: shape.batch,
      groupSize: r.generations,
      ids: drawn.completions,
      mask,
      stopIds: r.stopTokens,
      rewards: new Map([...scores.sources, ["score", scores.scores]]),
      logProbs: { current: result("logps"), old: take(before.logps), reference: take(before.reference_logps), sampler: drawn.logps },
      entropy: take(before.entropy),
      fullKl,
      advantages: advantages.dims.length === 2 ? take(advantages.data) : advantages.data,
      clip: algorithm.clip,
      ratioOf: algorithm.algorithm === "rloo" || algorithm.algorithm === "reinforce" ? "row" : "token",
    });
    const answered = ends.lengths.reduce((sum, length) => sum + length, 0);
    return {
      ...metrics,
      klPerCompletion: (maskedMean(fullKl, mask) * answered) / shape.batch,
      loss: number("loss"),
      gradNorm: number("grad_norm"),
      learningRate: number("learning_rate"),
      ...(algorithm.algorithm === "ppo"
        ? {
            value: {
              ...valueMetrics(
                { values: result("values"), oldValues: take(ensure(before.values, "values")), returns: result("returns") },
                mask,
                algorithm.clipValue,
              ),
              loss: number("value_loss"),
            },
          }
        : {}),
      ms,
      tokensPerSecond: {
        rollout: (1000 * answered) / (ms.prefill + ms.decode),
        update: (1000 * shape.batch * (shape.prompt + shape.newTokens)) / ms.update,
      },
    };
  }

  #guard(k: number, { logProbGap, kl }: RlStepMetrics): void {
    const { logProbGap: gapBound = 1e-3, kl: klBound = Number.POSITIVE_INFINITY } = this.#settings.guard ?? {};
    if (!(logProbGap.max <= gapBound)) throw samplerGap(k, logProbGap.max, gapBound);
    if (k === 0 && !(kl.full <= 1e-6)) throw wrongReference(kl.full);
    if (!(kl.full <= klBound)) throw klTooLarge(k, kl.full, klBound);
  }

  get #dims(): readonly number[] {
    const { batch, prompt, newTokens } = rolloutShape(this.#settings);
    return [batch, prompt + newTokens];
  }
}

/** Rollouts of evaluations have numbers from here, which no step has. */
const evaluationRollout = 2 ** 30;

/** More cut-off completions than this share cause a warning. */
const usualCutOffShare = 0.05;

function warningsOf(k: number, { completions }: RlStepMetrics): Warning[] {
  const { cutOffShare } = completions;
  if (cutOffShare <= usualCutOffShare) return [];
  return [
    {
      code: "LAP_RL_CUT_OFF_SHARE",
      message: `${(100 * cutOffShare).toFixed(0)} % of the completions did not end within their tokens`,
      place: `step ${k}`,
      remedy: "raise the number of new tokens, or fine-tune the policy on completions that end",
    },
  ];
}

interface UpdateInputs {
  readonly rows: SequenceRows;
  readonly ends: CompletionEnds;
  readonly scores: RolloutScores;
  readonly before: LogProbs;
  readonly step: StepIndex;
  readonly trace: boolean;
}

interface StepOptions {
  /** The number of the rollout, which decides prompts and completions. That of the step by default. */
  readonly batch?: number;
  /** Whether the workers report every call of the last update. */
  readonly trace?: boolean;
}

interface UpdateResult {
  readonly report: RunReport;
  /** Arrays of the last update. */
  readonly arrays: ReadonlyMap<string, ArrayData>;
}

interface StepResults extends Omit<UpdateInputs, "step" | "trace"> {
  readonly drawn: DrawnRollout;
  readonly updated: UpdateResult;
  readonly ms: RlTimes;
}

const rolloutShape = ({ rollout: { prompts, generations, promptTokens, newTokens } }: Pick<RlSettings, "rollout">): RolloutShape => ({
  batch: prompts * generations,
  generations,
  prompt: promptTokens,
  newTokens,
});

const sequenceShape = (settings: Pick<RlSettings, "rollout">): { batch: number; seq: number; segments: boolean } => {
  const { batch, prompt, newTokens } = rolloutShape(settings);
  return { batch, seq: prompt + newTokens, segments: true };
};

/** The states that a run with these settings trains: of the policy, and with PPO of the value model. */
export const rlStates = ({ model, update, algorithm }: Pick<RlSettings, "model" | "update" | "algorithm">): StateSpec[] =>
  trainedStates(algorithm.algorithm === "ppo" ? withValueModel(model) : model, update);

const putRows = (program: LoadedProgram, rows: SequenceRows, dims: readonly number[]): Promise<void>[] =>
  sequenceInputs.map((name) =>
    program.put(name, name === "mask" ? { dtype: "f32", dims, data: rows.mask } : { dtype: "i32", dims, data: rows[name] }),
  );

/** The mask without the completions that were cut off. */
function withoutCutOff(mask: Float32Array, { isCutOff }: CompletionEnds): Float32Array {
  const width = mask.length / isCutOff.length;
  return mask.map((value, i) => (isCutOff[Math.floor(i / width)] === 1 ? 0 : value));
}

const sequenceBinding = (): [string, ReturnType<typeof handle>][] => sequenceInputs.map((name) => [name, handle(name)]);

function loadLogProbs(host: ProgramHost, settings: RlSettings): Promise<LoadedProgram> {
  const { model, rollout } = settings;
  const inputs = new Map([...sequenceBinding(), ...referenceInputs(model)]);
  const outputs = new Map(logProbOutputs.map((name) => [name, handle(name)]));
  const graph = (): Graph => rolloutLogProbs(model, sequenceShape(settings), rollout.temperature);
  // The update reads the rows, too.
  return LoadedProgram.load(host, programName("rollout_logprobs", sequenceShape(settings), rollout.temperature), graph, {
    inputs,
    outputs,
    donate: [],
  });
}

function loadValues(host: ProgramHost, settings: RlSettings): Promise<LoadedProgram> {
  const inputs = new Map([...sequenceBinding(), ["last", handle("last")] as const, ...valueInputs(settings.model)]);
  const outputs = new Map([["token_scores", handle("values")]]);
  const shape = sequenceShape(settings);
  return LoadedProgram.load(host, programName("values", shape), () => score(settings.model, shape), { inputs, outputs, donate: ["last"] });
}

/** Arrays that the metrics read of an update. */
const updateResults = (algorithm: RlConfig["algorithm"]): readonly string[] =>
  algorithm === "ppo" ? ["logps", "advantages", "values", "returns"] : ["logps", "advantages"];

const rlConfigOf = ({ algorithm, rollout: { temperature, generations } }: Pick<RlSettings, "algorithm" | "rollout">): RlConfig =>
  ({ ...algorithm, temperature, generations }) as RlConfig;

/** The graphs of the programs that a step loads, by the names that it loads them by. */
export function rlGraphs(settings: RlGraphSettings): Record<string, () => Graph> {
  const { model, update, rollout } = settings;
  const [shape, sequence] = [rolloutShape(settings), sequenceShape(settings)];
  return {
    rl_step: () => rlStep(model, update, sequence, { rl: rlConfigOf(settings) }),
    ...(rollout.weights === "gathered" ? { gather_rollout: () => gatherRollout(model) } : {}),
    rollout_prefill: () => rolloutPrefill(model, shape, rollout),
    rollout_decode: () => rolloutDecode(model, shape, rollout),
    rollout_logprobs: () => rolloutLogProbs(model, sequence, rollout.temperature),
    score: () => score(model, scoreShape(settings)),
  };
}

/** @param results arrays that stay on the workers, besides the states */
function loadUpdate(host: ProgramHost, settings: RlSettings, results: readonly string[]): Promise<LoadedProgram> {
  const { model, update, algorithm } = settings;
  const rl = rlConfigOf(settings);
  const states = rlStates(settings).map(({ name }) => name);
  const perRow = ["old_logps", "reference_logps", "scores", "counted", "old_values"].map((name) => [name, handle(name)] as const);
  const outputs = new Map([
    ...states.map((name) => [name, handleOf(name)] as const),
    ...results.map((name) => [name, handle(`update/${name}`)] as const),
  ]);
  const scalars = ["loss", "grad_norm", "learning_rate", ...(algorithm.algorithm === "ppo" ? ["value_loss"] : [])];
  const graph = (): Graph => rlStep(model, update, sequenceShape(settings), { rl });
  const inputs = new Map([...sequenceBinding(), ...perRow]);
  const name = programName("rl_step", sequenceShape(settings), rl, update);
  return LoadedProgram.load(host, name, graph, { inputs, outputs, donate: states, scalars });
}
