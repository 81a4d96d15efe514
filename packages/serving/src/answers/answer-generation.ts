import { ensure } from "@lapidary/std";
import type { ChoiceDelta, ReleasedToken } from "../generation/choice.js";
import { type GenerateContext, generate, type Usage } from "../generation/generate.js";
import type { GenerationPlan } from "../generation/plan.js";
import type { Answer } from "../http/answer.js";
import { type AnswerFormat, type FinishedChoice, type FormatContext, isVisible, tokenTextOf } from "./answer-format.js";

export interface AnswerContext extends GenerateContext {
  readonly format: AnswerFormat;
  /** The `id` of the answer without the prefix of its format. */
  readonly id: string;
  /** Seconds since the epoch. */
  readonly created: number;
}

/** Generates what a request asks for and sends it: as one JSON object, or as server-sent events. */
export async function answerGeneration(plan: GenerationPlan, answer: Answer, context: AnswerContext): Promise<void> {
  if (plan.stream) await streamChoices(plan, answer, context);
  else await sendChoices(plan, answer, context);
}

async function sendChoices(plan: GenerationPlan, answer: Answer, context: AnswerContext): Promise<void> {
  const { format } = context;
  const choices = Array.from({ length: plan.prompts.length * plan.n }, (_, index) => new ChoiceBuilder(index));
  const usage = await generate(plan, context, (delta) => choices[delta.index]?.add(delta));
  answer.json(200, {
    ...head(context, format.answerObject),
    choices: choices.map((choice) => format.choice(choice.finished, formatContext(plan, context))),
    usage,
  });
}

async function streamChoices(plan: GenerationPlan, answer: Answer, context: AnswerContext): Promise<void> {
  const { format } = context;
  const start = head(context, format.eventObject);
  const noUsage = plan.includeUsage ? { usage: null } : {};
  const send = (choice: unknown): void => answer.event(JSON.stringify({ ...start, choices: [choice], ...noUsage }));
  const opened = new Set<number>();
  const usage: Usage = await generate(plan, context, (delta) => {
    if (!isVisible(delta)) return;
    if (!opened.has(delta.index) && format.openChoice !== undefined) send(format.openChoice(delta.index));
    opened.add(delta.index);
    for (const choice of format.deltaChoices(delta, formatContext(plan, context))) send(choice);
  });
  if (plan.includeUsage) answer.event(JSON.stringify({ ...start, choices: [], usage }));
  answer.event("[DONE]");
  answer.endEvents();
}

function head({ format, id, created, engine }: AnswerContext, object: string): object {
  return { id: `${format.idPrefix}${id}`, object, created, model: engine.modelId };
}

const formatContext = (plan: GenerationPlan, { engine }: AnswerContext): FormatContext => ({
  withLogprobs: plan.topLogprobs !== undefined,
  tokenText: tokenTextOf((after) => engine.decodeStream(after)),
});

class ChoiceBuilder {
  readonly #index: number;
  readonly #texts: string[] = [];
  readonly #tokens: ReleasedToken[] = [];
  #finish: FinishedChoice["finish"] | undefined;

  constructor(index: number) {
    this.#index = index;
  }

  add({ text, tokens, finish }: ChoiceDelta): void {
    this.#texts.push(text);
    this.#tokens.push(...tokens);
    this.#finish = finish;
  }

  get finished(): FinishedChoice {
    return { index: this.#index, text: this.#texts.join(""), tokens: this.#tokens, finish: ensure(this.#finish, "end of a choice") };
  }
}
