import { basename } from "node:path";
import {
  type Document,
  type Example,
  heldOutPrompt,
  lastText,
  type PromptExample,
  readExamples,
  type RefusedRow,
  requireExamples,
} from "@lapidary/data";
import { LapidaryError } from "@lapidary/std";
import type { AnswerModel } from "./answer-model.js";

/** A prompt that both models answer. */
export interface HeldOutPrompt {
  /** The value of the column `id`, else `FILE:ROW`. Votes, coins and seeds use it. */
  readonly id: string;
  readonly prompt: PromptExample;
  /** For judges, checkers and people. */
  readonly text: string;
  readonly candidateIds: readonly number[];
  readonly baselineIds: readonly number[];
}

/** The documents of one example for both models. */
interface HeldOutDocuments {
  readonly subset: string | undefined;
  readonly candidate: readonly Document[];
  readonly baseline: readonly Document[];
}

/** One file of held-out examples. */
export interface HeldOutSet {
  readonly file: string;
  readonly prompts: readonly HeldOutPrompt[];
  /** Empty if the examples have no answers. */
  readonly documents: readonly HeldOutDocuments[];
  /** Number of rows whose prompt is used and whose loss is not measured, because the answer is beyond the last token that is read. */
  readonly unmeasured: number;
  /** Rows that one of the models cannot use, and rows that are not examples. */
  readonly refused: readonly RefusedRow[];
}

export interface SetOptions {
  readonly candidate: AnswerModel;
  readonly baseline: AnswerModel;
  /** Uses only this number of examples, from the start of each file. */
  readonly rows: number | undefined;
}

/** Tokens of a row whose loss is measured: memory for logits is proportional to it. */
const maxLossTokens = 1024;

/**
 * Reads the files and encodes them for both models. A row that one model cannot use is refused for both.
 *
 * @throws LapidaryError LAP_COMPARE_ID if two prompts have one id, LAP_COMPARE_NONE if a file has no usable row, `LAP_DATA_…`, LAP_EXAMPLE_NONE
 */
export function readHeldOutSets(files: readonly string[], options: SetOptions): readonly HeldOutSet[] {
  const sets = files.map((file) => readHeldOutSet(file, options));
  const seen = new Map<string, string>();
  for (const { file, prompts } of sets)
    for (const { id, prompt } of prompts) {
      const place = `row ${prompt.row} of ${file}`;
      const earlier = seen.get(id);
      if (earlier !== undefined) throw sameId(id, earlier, place);
      seen.set(id, place);
    }
  return sets;
}

function readHeldOutSet(file: string, { candidate, baseline, rows }: SetOptions): HeldOutSet {
  const read = readExamples(file, { columns: "keep" });
  requireExamples(read);
  const examples = read.examples.slice(0, rows);
  const refused = read.refused.filter(({ row }) => rows === undefined || row <= (examples.at(-1)?.row ?? 0));
  const refuse = (example: Example, error: unknown): void => {
    // Another error is a mistake of this program, not of the row.
    if (!(error instanceof LapidaryError)) throw error;
    const { file: from, row } = example;
    refused.push({ file: from, row, code: error.code, reason: error.message, remedy: error.remedy });
  };
  const prompts: HeldOutPrompt[] = [];
  const documents: HeldOutDocuments[] = [];
  const seq = Math.min(candidate.context, baseline.context, maxLossTokens);
  let unmeasured = 0;
  for (const example of examples) {
    const prompt = heldOutPrompt(example);
    try {
      if (prompt !== undefined) prompts.push(encodedPrompt(prompt, candidate, baseline));
    } catch (error) {
      refuse(example, error);
      continue;
    }
    if (example.kind === "prompt" || example.kind === "preference") continue;
    try {
      const { subset } = example;
      documents.push({ subset, candidate: candidate.documents(example, seq), baseline: baseline.documents(example, seq) });
    } catch (error) {
      if (prompt === undefined || !(error instanceof LapidaryError)) refuse(example, error);
      else unmeasured++;
    }
  }
  if (prompts.length === 0 && documents.length === 0) throw noneUsable(file, refused[0]);
  return { file, prompts, documents, unmeasured, refused: refused.sort((a, b) => a.row - b.row) };
}

function encodedPrompt(prompt: PromptExample, candidate: AnswerModel, baseline: AnswerModel): HeldOutPrompt {
  const { id } = prompt.columns;
  return {
    id: typeof id === "string" || typeof id === "number" ? String(id) : `${basename(prompt.file)}:${prompt.row}`,
    prompt,
    text: promptText(prompt),
    candidateIds: candidate.promptIds(prompt),
    baselineIds: baseline.promptIds(prompt),
  };
}

/** A dialogue as text: its turns with their roles. A prompt of one turn is its text. */
function promptText({ prompt }: PromptExample): string {
  if (typeof prompt === "string" || prompt.length === 1) return lastText(prompt);
  return prompt.map(({ role, content }) => `${role}: ${content}`).join("\n\n");
}

function sameId(id: string, first: string, second: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_COMPARE_ID",
    message: `${first} and ${second} have the id ${JSON.stringify(id)}`,
    location: second,
  });
}

function noneUsable(file: string, first: RefusedRow | undefined): LapidaryError {
  return new LapidaryError({
    code: "LAP_COMPARE_NONE",
    message: `no row can be used by both models${first === undefined ? "" : `; row ${first.row} is refused because ${first.reason}`}`,
    location: file,
    remedy: first?.remedy ?? "name another file",
  });
}
