import type { RunEventOf } from "./run-events.js";

/** Completions of one prompt at one step. */
export interface CompletionSamples {
  readonly step: number;
  readonly split: "train" | "heldout";
  readonly prompt: string;
  readonly completions: readonly SampledCompletion[];
}

interface SampledCompletion {
  readonly completion: string;
  readonly score: number;
  /** `length`: cut off at the maximum number of tokens. Runs of earlier versions do not have it. */
  readonly finish_reason?: "stop" | "length" | undefined;
}

/** Limits of the samples in memory, for runs of any length. The journal has all of them. */
export const sampleLimits = { steps: 48, promptsOfStep: 8, completions: 16, characters: 4000 } as const;

/**
 * The completions that a run sampled, oldest first, in bounded memory. If there are too many steps, every second one is dropped, but neither the first
 * nor the newest.
 *
 * A run that goes back to a checkpoint repeats steps. A repeated step removes the samples of later steps.
 */
export class SampleHistory {
  #samples: CompletionSamples[];

  constructor(samples: readonly CompletionSamples[] = []) {
    this.#samples = [...samples];
  }

  get samples(): readonly CompletionSamples[] {
    return this.#samples;
  }

  add(event: Pick<RunEventOf<"completions_sampled">, "step" | "split" | "completions">): void {
    const [first] = event.completions;
    if (first === undefined) return;
    const { step, split = "train" } = event;
    const prompt = clipped(first.prompt);
    const kept = this.#samples.filter(
      (each) => each.step < step || (each.step === step && (each.split !== split || each.prompt !== prompt)),
    );
    this.#samples = kept;
    if (kept.filter((each) => each.step === step).length >= sampleLimits.promptsOfStep) return;
    const completions = event.completions
      .slice(0, sampleLimits.completions)
      .map(({ completion, score, finish_reason }) => ({ completion: clipped(completion), score, finish_reason }));
    this.#samples = [...kept, { step, split, prompt, completions }];
    this.#thin();
  }

  #thin(): void {
    const steps = [...new Set(this.#samples.map(({ step }) => step))];
    if (steps.length <= sampleLimits.steps) return;
    const kept = new Set(steps.filter((_, i) => i % 2 === 0 || i === steps.length - 1));
    this.#samples = this.#samples.filter(({ step }) => kept.has(step));
  }
}

const clipped = (text: string): string =>
  text.length <= sampleLimits.characters ? text : `${text.slice(0, sampleLimits.characters)}… (${text.length} characters in all)`;

/** The event with texts of bounded length. */
export const clippedSamples = (event: RunEventOf<"completions_sampled">): RunEventOf<"completions_sampled"> => ({
  ...event,
  completions: event.completions
    .slice(0, sampleLimits.completions)
    .map((each) => ({ ...each, prompt: clipped(each.prompt), completion: clipped(each.completion) })),
});

/** A prompt, and its samples by step. */
export interface SampledPrompt {
  readonly prompt: string;
  readonly split: CompletionSamples["split"];
  readonly steps: readonly CompletionSamples[];
}

/** Samples by prompt: those of held-out prompts first, because evaluations sample the same prompts again; then those of most steps. */
export function samplesByPrompt(samples: readonly CompletionSamples[]): SampledPrompt[] {
  const prompts = new Map<string, CompletionSamples[]>();
  for (const each of samples) {
    const key = `${each.split} ${each.prompt}`;
    const known = prompts.get(key);
    if (known === undefined) prompts.set(key, [each]);
    else known.push(each);
  }
  return [...prompts.values()]
    .flatMap((steps) => {
      const [first] = steps;
      return first === undefined ? [] : [{ prompt: first.prompt, split: first.split, steps }];
    })
    .sort((a, b) => Number(a.split === "train") - Number(b.split === "train") || b.steps.length - a.steps.length);
}
