import type { GraphRunner } from "@lapidary/training";
import type { PostBundle } from "./bundle.js";
import { checkChat } from "./chat-part.js";
import type { PostCheck } from "./checks.js";
import { checkGeneration } from "./generation-part.js";
import { checkDpo, checkReward } from "./preference-parts.js";
import { checkGrpo, checkPpo, checkRloo, checkRollout } from "./rollout-parts.js";
import { checkLora, checkSft } from "./sft-parts.js";

/** The parts of a bundle, in the order in which they run. */
const partChecks = {
  chat: checkChat,
  sft: checkSft,
  lora: checkLora,
  reward: checkReward,
  dpo: checkDpo,
  rollout: checkRollout,
  rloo: checkRloo,
  grpo: checkGrpo,
  ppo: checkPpo,
  generation: checkGeneration,
} as const satisfies Record<string, (bundle: PostBundle, runner: GraphRunner) => Promise<PostCheck[]>>;

export type PostPart = keyof typeof partChecks;
export const postParts = Object.keys(partChecks) as readonly PostPart[];
export const isPostPart = (name: string): name is PostPart => Object.hasOwn(partChecks, name);

/** Runs the programs of every recipe on the inputs of a bundle, and compares the results with those of the reference. */
export async function runPostParity(
  bundle: PostBundle,
  runner: GraphRunner,
  { parts = postParts, onPart }: { readonly parts?: readonly PostPart[]; readonly onPart?: (part: PostPart) => void } = {},
): Promise<PostCheck[]> {
  const checks: PostCheck[] = [];
  for (const part of parts) {
    onPart?.(part);
    checks.push(...(await partChecks[part](bundle, runner)));
  }
  return checks;
}
