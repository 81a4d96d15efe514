import type { ArrayData } from "@lapidary/protocol";
import { stepIndex, type StepIndex } from "@lapidary/protocol";
import { assert, type Clock, ensure, systemClock } from "@lapidary/std";
import { paramName } from "@lapidary/training";
import { inSet } from "@lapidary/post-training";
import { type CompletionSample, samplesOf, type ScoredRollout } from "./completion-sample.js";
import { checkStep } from "./guards.js";
import type { LoadedProgram, ParameterSet, ProgramHost } from "./program-host.js";
import {
  handle,
  loadRlPrograms,
  type LogProbs,
  logProbOutputs,
  rlStates,
  type RlPrograms,
  sequenceInputs,
  sequenceShape,
  updateResults,
} from "./rl-programs.js";
import type { RlPrompt, RlSettings } from "./rl-settings.js";
import { type CompletionEnds, completionEnds, type SequenceRows, sequenceRows, trimmedCompletions } from "./rollout-rows.js";
import type { RolloutScores } from "./scores.js";
import { metricsOfStep, type RlStepMetrics, type RlTimes, type UpdateResult } from "./step-metrics.js";

export interface RlStepResult {
  readonly metrics: RlStepMetrics;
  readonly samples: readonly CompletionSample[];
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
  readonly #programs: RlPrograms;
  readonly #clock: Clock;

  private constructor(host: ProgramHost, settings: RlSettings, programs: RlPrograms) {
    this.#host = host;
    this.#settings = settings;
    this.#programs = programs;
    this.#clock = settings.clock ?? systemClock;
  }

  static async load(host: ProgramHost, settings: RlSettings): Promise<RlStepController> {
    return new RlStepController(host, settings, await loadRlPrograms(host, settings));
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
    const metrics = metricsOfStep(this.#settings, { drawn, ends, scores, rows, before, updated, ms });
    checkStep(k, metrics, this.#settings.guard);
    const { text } = this.#settings;
    const [first] = groups;
    const settings = { generations: r.generations, decode: text.decode };
    const samples = first === undefined ? [] : samplesOf({ completions, ends, scores: scores.scores }, 0, first.text, settings);
    return { metrics, samples };
  }

  /** Draws completions to other prompts and scores them. The states do not change. */
  async evaluate(groups: readonly RlPrompt[], batch: number): Promise<ScoredRollout> {
    const { rollout: r, seed } = this.#settings;
    const step = stepIndex(0);
    const prompts = groups.flatMap((prompt) => Array.from({ length: r.generations }, () => prompt));
    const drawn = await this.#programs.rollout.draw({ prompts: groups, seed, rollout: evaluationRollout + batch, step });
    const ends = completionEnds(drawn.completions, r.newTokens, r.stopTokens);
    const completions = trimmedCompletions(drawn, r.newTokens, ends);
    return { ...(await this.#programs.scorer.score({ prompts, completions, ends, step })), ends, completions };
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
    const [arrays] = await Promise.all([fetched, ...puts, ...ran, group.drop(names.map(handle))]);
    return Object.fromEntries(arrays.map(({ data }, i) => [names[i], data])) as unknown as LogProbs;
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

  get #dims(): readonly number[] {
    const { batch, seq } = sequenceShape(this.#settings);
    return [batch, seq];
  }
}

/** Rollouts of evaluations have numbers from here, which no step has. */
const evaluationRollout = 2 ** 30;

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

const putRows = (program: LoadedProgram, rows: SequenceRows, dims: readonly number[]): Promise<void>[] =>
  sequenceInputs.map((name) =>
    program.put(name, name === "mask" ? { dtype: "f32", dims, data: rows.mask } : { dtype: "i32", dims, data: rows[name] }),
  );

/** The mask without the completions that were cut off. */
function withoutCutOff(mask: Float32Array, { isCutOff }: CompletionEnds): Float32Array {
  const width = mask.length / isCutOff.length;
  return mask.map((value, i) => (isCutOff[Math.floor(i / width)] === 1 ? 0 : value));
}
