import type { Graph } from "@lapidary/ir";
import { adaptedModel, rlStep, type RlConfig, rolloutLogProbs, score, trainedByRl, trainedStates } from "@lapidary/post-training";
import { handleOf } from "@lapidary/protocol";
import { assert } from "@lapidary/std";
import { gatherRollout, rolloutDecode, rolloutPrefill, type RolloutShape, type StateSpec } from "@lapidary/training";
import { LoadedProgram, type ProgramHost, programName } from "./program-host.js";
import { referenceInputs, valueInputs } from "./rl-step-runs.js";
import type { RlGraphSettings, RlSettings } from "./rl-settings.js";
import { Rollout } from "./rollout.js";
import { Scorer, scoreShape } from "./scores.js";

/** Inputs of the programs over prompts and completions. */
export const sequenceInputs = ["tokens", "targets", "mask", "segments"] as const;
export const logProbOutputs = ["logps", "reference_logps", "entropy", "kl"] as const;
/** Arrays of the size of the rows. */
export type LogProbs = Readonly<Record<(typeof logProbOutputs)[number], Float32Array>> & {
  /** PPO: the value model before the update. */
  readonly values?: Float32Array;
};

/** An array of a step. */
export const handle = (name: string): ReturnType<typeof handleOf> => handleOf(`rl/${name}`);

export interface RlPrograms {
  readonly rollout: Rollout;
  readonly scorer: Scorer;
  readonly logProbs: LoadedProgram;
  /** PPO: the value model before the update. */
  readonly values: LoadedProgram | undefined;
  /** The last update on a rollout, of which results stay on the workers. */
  readonly update: LoadedProgram;
  readonly earlierUpdate: LoadedProgram;
}

export const rolloutShape = ({
  rollout: { prompts, generations, promptTokens, newTokens },
}: Pick<RlSettings, "rollout">): RolloutShape => ({
  batch: prompts * generations,
  generations,
  prompt: promptTokens,
  newTokens,
});

export const sequenceShape = (settings: Pick<RlSettings, "rollout">): { batch: number; seq: number; segments: boolean } => {
  const { batch, prompt, newTokens } = rolloutShape(settings);
  return { batch, seq: prompt + newTokens, segments: true };
};

/** The states that a run with these settings trains: of the policy or its adapter, and with PPO of the value model. */
export const rlStates = ({
  model,
  update,
  algorithm,
  lora,
}: Pick<RlGraphSettings, "model" | "update" | "algorithm" | "lora">): StateSpec[] =>
  trainedStates(model, update, trainedByRl(model, algorithm, lora));

/** Loads the programs of a step. */
export async function loadRlPrograms(host: ProgramHost, settings: RlSettings): Promise<RlPrograms> {
  const { model, lora, rollout: r, clock, algorithm, iterations } = settings;
  const policy = adaptedModel(model, lora);
  assert(iterations >= 1 && r.temperature > 0, "a step has an update and a temperature", iterations, r.temperature);
  const draw = { temperature: r.temperature, stopTokens: r.stopTokens, ...(r.weights === undefined ? {} : { weights: r.weights }) };
  return {
    rollout: await Rollout.load(host, { model: policy, shape: rolloutShape(settings), draw, ...(clock === undefined ? {} : { clock }) }),
    scorer: await Scorer.load(host, settings),
    logProbs: await loadLogProbs(host, settings),
    values: algorithm.algorithm === "ppo" ? await loadValues(host, settings) : undefined,
    update: await loadUpdate(host, settings, updateResults(algorithm.algorithm)),
    earlierUpdate: await loadUpdate(host, settings, []),
  };
}

const sequenceBinding = (): [string, ReturnType<typeof handle>][] => sequenceInputs.map((name) => [name, handle(name)]);

function loadLogProbs(host: ProgramHost, settings: RlSettings): Promise<LoadedProgram> {
  const { rollout, lora } = settings;
  const inputs = new Map([...sequenceBinding(), ...referenceInputs(settings)]);
  const outputs = new Map(logProbOutputs.map((name) => [name, handle(name)]));
  const name = programName("rollout_logprobs", sequenceShape(settings), rollout.temperature, lora);
  // The update reads the rows, too.
  return LoadedProgram.load(host, name, rlGraphs(settings).rollout_logprobs, { inputs, outputs, donate: [] });
}

function loadValues(host: ProgramHost, settings: RlSettings): Promise<LoadedProgram> {
  const inputs = new Map([...sequenceBinding(), ["last", handle("last")] as const, ...valueInputs(settings.model)]);
  const outputs = new Map([["token_scores", handle("values")]]);
  const name = programName("values", sequenceShape(settings));
  return LoadedProgram.load(host, name, rlGraphs(settings).values, { inputs, outputs, donate: ["last"] });
}

/** Arrays that the metrics read of an update. */
export const updateResults = (algorithm: RlConfig["algorithm"]): readonly string[] =>
  algorithm === "ppo" ? ["logps", "advantages", "values", "returns"] : ["logps", "advantages"];

const rlConfigOf = ({ algorithm, rollout: { temperature, generations } }: Pick<RlSettings, "algorithm" | "rollout">): RlConfig =>
  ({ ...algorithm, temperature, generations }) as RlConfig;

type RlProgramName = "rl_step" | "rollout_prefill" | "rollout_decode" | "rollout_logprobs" | "score" | "values";

/** The graphs of the programs that a step loads, by the names that it loads them by. Only PPO loads `values`. */
export function rlGraphs(
  settings: RlGraphSettings,
): Readonly<Record<RlProgramName, () => Graph>> & { readonly gather_rollout?: () => Graph } {
  const { model, update, rollout, lora } = settings;
  const { temperature } = rollout;
  const [shape, sequence] = [rolloutShape(settings), sequenceShape(settings)];
  const policy = adaptedModel(model, lora);
  return {
    ...(rollout.weights === "gathered" ? { gather_rollout: () => gatherRollout(policy) } : {}),
    rl_step: () => rlStep(model, update, sequence, { rl: rlConfigOf(settings), lora }),
    rollout_prefill: () => rolloutPrefill(policy, shape, rollout),
    rollout_decode: () => rolloutDecode(policy, shape, rollout),
    rollout_logprobs: () => rolloutLogProbs(model, sequence, { temperature, lora }),
    score: () => score(model, scoreShape(settings)),
    values: () => score(model, sequence),
  };
}

/** @param results arrays that stay on the workers, besides the states */
function loadUpdate(host: ProgramHost, settings: RlSettings, results: readonly string[]): Promise<LoadedProgram> {
  const { update, algorithm, lora } = settings;
  const states = rlStates(settings).map(({ name }) => name);
  const perRow = ["old_logps", "reference_logps", "scores", "counted", "old_values"].map((name) => [name, handle(name)] as const);
  const outputs = new Map([
    ...states.map((name) => [name, handleOf(name)] as const),
    ...results.map((name) => [name, handle(`update/${name}`)] as const),
  ]);
  const scalars = ["loss", "grad_norm", "learning_rate", ...(algorithm.algorithm === "ppo" ? ["value_loss"] : [])];
  const inputs = new Map([...sequenceBinding(), ...perRow]);
  const name = programName("rl_step", sequenceShape(settings), rlConfigOf(settings), update, lora);
  return LoadedProgram.load(host, name, rlGraphs(settings).rl_step, { inputs, outputs, donate: states, scalars });
}
