import { inSet, scoreHead, valueSet } from "@lapidary/post-training";
import { buildModel } from "@lapidary/models";
import type { ArrayData } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import { paramName, type ResolvedJob } from "@lapidary/training";
import { loadWeights } from "../execution/checkpoints.js";
import { readRewardModel } from "../rl/reward-model.js";

/**
 * The first states of the value model of PPO. Its trunk is that of the first reward model, which already knows what the reward depends on. Without a
 * reward model, it is that of the policy. The head is zero, so that the first advantages are the returns: the head of a reward model predicts one source
 * alone, without its shift, scale and weight.
 */
export async function initializeValueModel(
  { model: { config }, train }: ResolvedJob,
  rewardModels: ReadonlyMap<string, string>,
  put: (states: ReadonlyMap<string, ArrayData>) => Promise<void>,
): Promise<void> {
  const { name: head, dims } = scoreHead(buildModel(config));
  const putWeight = (name: string, array: ArrayData): Promise<void> => put(new Map([[paramName(inSet(valueSet, name)), array]]));
  const [directory] = rewardModels.values();
  if (directory === undefined) await loadWeights(ensure(train.init, "train.init"), config, putWeight);
  else for (const [name, array] of await readRewardModel(directory, config)) if (name !== head) await putWeight(name, array);
  await putWeight(head, { dtype: "f32", dims, data: new Float32Array(dims.reduce((product, size) => product * size, 1)) });
}
