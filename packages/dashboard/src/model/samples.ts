import { hashString } from "@lapidary/std";
import type { CompletionSamples, SampledPrompt } from "@lapidary/api/completion-samples";

/** The name of a prompt in the URL, which is too short for its text. */
export const promptKey = ({ split, prompt }: Pick<SampledPrompt, "split" | "prompt">): string =>
  (hashString(`${split} ${prompt}`) >>> 0).toString(36);

/** The samples at the wanted steps; without any, those at the first and the newest step. */
export function shownSteps({ steps }: SampledPrompt, wanted: readonly number[] = []): readonly CompletionSamples[] {
  const found = steps.filter(({ step }) => wanted.includes(step));
  const [first, last] = [steps[0], steps.at(-1)];
  if (found.length > 0 || first === undefined || last === undefined) return found;
  return first === last ? [first] : [first, last];
}

export const meanScore = ({ completions }: CompletionSamples): number =>
  completions.reduce((sum, { score }) => sum + score, 0) / Math.max(1, completions.length);
