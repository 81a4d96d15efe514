import { readFileSync } from "node:fs";
import { sep } from "node:path";
import { isSystemError, LapidaryError, parsedJson, systemError } from "@lapidary/std";
import { z } from "zod";

/** A question of an evaluation set. */
export interface SetItem {
  /** The name of the file, see `setNames`. */
  readonly set: string;
  readonly id: string;
  readonly query: string;
  readonly label: string;
  /** A part of the query that anyone may have, such as a passage of a public text. */
  readonly context?: string | undefined;
}

const text = z.union([z.string(), z.number().transform(String)]);
const line = z
  .looseObject({
    id: text.optional(),
    query: text.optional(),
    question: text.optional(),
    prompt: text.optional(),
    label: text.optional(),
    answer: text.optional(),
    completion: text.optional(),
    context: text.optional(),
  })
  .transform(({ id, query, question, prompt, label, answer, completion, context }) => ({
    id,
    query: query ?? question ?? prompt,
    label: label ?? answer ?? completion ?? "",
    context,
  }));

/**
 * The items of JSONL files. The question is in `query`, `question` or `prompt`, and the answer in `label`, `answer` or `completion`.
 *
 * @throws LapidaryError LAP_DATA_EVALUATION_SET, LAP_FILE_…
 */
export const readEvaluationSets = (files: readonly string[]): readonly SetItem[] =>
  Array.from(evaluationLines(files), ({ line: _, ...item }) => item);

/** The items of JSONL files, each with its line. @throws LapidaryError LAP_DATA_EVALUATION_SET, LAP_FILE_… */
export function* evaluationLines(files: readonly string[]): Generator<SetItem & { readonly line: string }> {
  const names = setNames(files);
  for (const [at, file] of files.entries())
    for (const [i, content] of contentOf(file).split("\n").entries()) {
      if (content.trim() === "") continue;
      const { id, query, label, context } = itemOf(content, `${file}:${i + 1}`);
      yield { set: names[at] ?? file, id: id ?? `line ${i + 1}`, query, label, context, line: content };
    }
}

/** The name of each file, with as many of its directories as are needed to tell the files apart. */
export function setNames(files: readonly string[]): readonly string[] {
  for (let parts = 1; ; parts++) {
    const names = files.map((file) => file.split(sep).slice(-parts).join("/"));
    if (new Set(names).size === new Set(files).size) return names;
  }
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read an evaluation set", place: file }) : error;
  }
}

function itemOf(content: string, location: string): z.output<typeof line> & { readonly query: string } {
  const refused = (why: string): LapidaryError =>
    new LapidaryError({ code: "LAP_DATA_EVALUATION_SET", message: `an item of an evaluation set cannot be used: ${why}`, location });
  const value = parsedJson(content);
  if (value === undefined) throw refused("the line is not JSON");
  const parsed = line.safeParse(value);
  if (!parsed.success) throw refused("a field of the question or the answer is neither a text nor a number");
  const { query } = parsed.data;
  if (query === undefined || query.trim() === "") throw refused("it has no question");
  return { ...parsed.data, query };
}
