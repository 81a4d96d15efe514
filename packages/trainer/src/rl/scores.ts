import { score, scoreParams } from "@lapidary/post-training";
import { type ArrayData, handleOf, type StepIndex } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import { LoadedProgram, type ParameterSet, type ProgramHost, programName, weightInputs } from "./program-host.js";
import { allCutOff } from "./rl-errors.js";
import type { CutOffRule, RewardSource, RlGraphSettings, RlPrompt, RlSettings } from "./rl-settings.js";
import { type CompletionEnds, sequenceRows } from "./rollout-rows.js";

/** Scores [B] of completions: each source, and their weighted sum after the rule for cut-off completions. */
export interface RolloutScores {
  readonly sources: ReadonlyMap<string, Float32Array>;
  readonly scores: Float32Array;
}

interface ScoredCompletions {
  /** By row. */
  readonly prompts: readonly RlPrompt[];
  readonly completions: readonly Int32Array[];
  readonly ends: CompletionEnds;
  readonly step: StepIndex;
}

type ModelSource = Extract<RewardSource, { kind: "model" }>;
type ScorerSettings = Pick<RlSettings, "model" | "rollout" | "rewards" | "cutOff" | "text">;

/** The reward sources of a run. */
export class Scorer {
  private constructor(
    private readonly host: ProgramHost,
    private readonly settings: ScorerSettings,
    private readonly models: ReadonlyMap<string, LoadedProgram>,
  ) {}

  static async load(host: ProgramHost, settings: ScorerSettings): Promise<Scorer> {
    const models = new Map<string, LoadedProgram>();
    for (const source of settings.rewards) if (source.kind === "model") models.set(source.name, await loadModel(host, settings, source));
    return new Scorer(host, settings, models);
  }

  /** A weight of a reward model. */
  async putWeight(set: ParameterSet, name: string, array: ArrayData): Promise<void> {
    const source = this.settings.rewards.find((each) => each.kind === "model" && each.set === set);
    await ensure(this.models.get(source?.name ?? ""), `reward model ${set}`).put(`params/${name}`, array);
  }

  async score(rows: ScoredCompletions): Promise<RolloutScores> {
    const { rewards, rollout, cutOff } = this.settings;
    const sources = new Map<string, Float32Array>();
    for (const source of rewards)
      sources.set(source.name, source.kind === "checker" ? await this.#check(source, rows) : await this.#scoreByModel(source, rows));
    const sum = Float32Array.from(rows.completions, (_, row) =>
      rewards.reduce((total, { name, weight }) => total + weight * ensure(sources.get(name)?.[row], "score"), 0),
    );
    const { generations, newTokens } = rollout;
    return { sources, scores: applyCutOffRule(cutOff, { scores: sum, ends: rows.ends, generations, newTokens, step: rows.step }) };
  }

  async #check(source: Extract<RewardSource, { kind: "checker" }>, { prompts, completions }: ScoredCompletions): Promise<Float32Array> {
    const { decode } = this.settings.text;
    const checked = await Promise.all(
      prompts.map(({ text, columns }, row) =>
        source.check({ prompt: text, answer: decode([...ensure(completions[row], "completion")]), columns }),
      ),
    );
    return Float32Array.from(checked);
  }

  async #scoreByModel(source: ModelSource, { prompts, completions, step }: ScoredCompletions): Promise<Float32Array> {
    const { group } = this.host;
    const { promptTokens } = this.settings.rollout;
    const program = ensure(this.models.get(source.name), source.name);
    const ended = completions.map((completion) => this.settings.text.end([...completion]));
    const width = scoredCompletionTokens(this.settings);
    const { tokens, segments } = sequenceRows(prompts, promptTokens, ended, width);
    const dims = [prompts.length, promptTokens + width];
    const last = Int32Array.from(ended, ({ length }) => promptTokens + length - 1);
    const puts = [
      program.put("tokens", { dtype: "i32", dims, data: tokens }),
      program.put("segments", { dtype: "i32", dims, data: segments }),
      program.put("last", { dtype: "i32", dims: [prompts.length], data: last }),
    ];
    const ran = program.run(step);
    const fetched = group.fetch(scoresHandle);
    await Promise.all([...puts, ran, fetched, group.drop([scoresHandle])]);
    const { data } = await fetched;
    assert(data instanceof Float32Array, "scores are f32");
    return data.map((value) => (value - source.shift) * source.scale);
  }
}

const scoresHandle = handleOf("reward/scores");

type ScoredRows = Pick<RlGraphSettings, "rollout" | "text">;

const scoredCompletionTokens = ({ rollout, text }: ScoredRows): number => rollout.newTokens + text.endTokens;

/** Rows of prompts and ended completions. */
export const scoreShape = (settings: ScoredRows): { batch: number; seq: number; segments: boolean } => ({
  batch: settings.rollout.prompts * settings.rollout.generations,
  seq: settings.rollout.promptTokens + scoredCompletionTokens(settings),
  segments: true,
});

function loadModel(host: ProgramHost, settings: ScorerSettings, { set }: ModelSource): Promise<LoadedProgram> {
  const { model } = settings;
  const shape = scoreShape(settings);
  const batch = ["tokens", "segments", "last"];
  const inputs = new Map([...weightInputs(scoreParams(model), set), ...batch.map((name) => [name, handleOf(`reward/${name}`)] as const)]);
  const outputs = new Map([["scores", scoresHandle]]);
  return LoadedProgram.load(host, programName("score", shape), () => score(model, shape), { inputs, outputs, donate: batch });
}

interface CutOffInputs {
  readonly scores: Float32Array;
  readonly ends: CompletionEnds;
  readonly generations: number;
  readonly newTokens: number;
  readonly step: number;
}

/**
 * The scores after the rule for cut-off completions. With `mask` a cut-off completion gets the mean score of the completions of its group that
 * ended: the baseline of the others is then that without it, up to a factor.
 *
 * @throws LapidaryError `LAP_RL_CUT_OFF`
 */
export function applyCutOffRule(rule: CutOffRule, { scores, ends, generations, newTokens, step }: CutOffInputs): Float32Array {
  if (rule.rule === "score") return scores;
  const isCutOff = (row: number): boolean => ends.isCutOff[row] === 1;
  if (rule.rule === "penalty") {
    if (ends.isCutOff.every((cut) => cut === 1)) throw allCutOff(step, newTokens);
    return scores.map((value, row) => (isCutOff(row) ? rule.score : value));
  }
  return scores.map((value, row) => {
    if (!isCutOff(row)) return value;
    const first = row - (row % generations);
    const ended = Array.from({ length: generations }, (_, i) => first + i).filter((other) => !isCutOff(other));
    return ended.length === 0 ? 0 : ended.reduce((sum, other) => sum + ensure(scores[other], "score"), 0) / ended.length;
  });
}
