import { readFileSync } from "node:fs";
import { LapidaryError, isSystemError, systemError, suggest, type JsonValue } from "@lapidary/std";

/**
 * The question to a judge: a text with the placeholders
 *
 *     {{prompt}}   {{answer_a}}   {{answer_b}}       required
 *     {{columns.NAME}}                               the value of a column of the row, such as a rubric or a right answer
 *
 * The text states the task and the rubric. It asks for one letter: A if the first answer is better, B if the second is, C if they are equally good.
 */
export interface JudgeTemplate {
  /** The file, or `default`. */
  readonly name: string;
  readonly text: string;
}

/** What a template shows of one row. */
export interface JudgedAnswers {
  readonly prompt: string;
  readonly first: string;
  readonly second: string;
  readonly columns: Readonly<Record<string, JsonValue>>;
}

export const defaultTemplate: JudgeTemplate = {
  name: "default",
  text: `Compare two answers to the same prompt. The better answer follows the instructions of the prompt, is correct, is complete, and does no harm. The length, the style and the order of the answers do not count.

Prompt:
{{prompt}}

Answer A:
{{answer_a}}

Answer B:
{{answer_b}}

Which answer is better? Write A if answer A is better, B if answer B is better, or C if both are equally good. Write only this letter.`,
};

const placeholder = /\{\{([^{}]*)\}\}/g;
const required = ["prompt", "answer_a", "answer_b"] as const;
const columnPrefix = "columns.";

/** @throws LapidaryError LAP_JUDGE_TEMPLATE, LAP_FILE_… */
export function readJudgeTemplate(path: string): JudgeTemplate {
  const text = contentOf(path);
  const names = [...text.matchAll(placeholder)].map(([, name = ""]) => name.trim());
  const unknown = names.find((name) => !isPlaceholder(name));
  if (unknown !== undefined) {
    const near = suggest(unknown, required);
    throw badTemplate(
      path,
      `{{${unknown}}} is not a placeholder`,
      near === undefined ? "write {{prompt}}, {{answer_a}}, {{answer_b}} or {{columns.NAME}}" : `did you mean {{${near}}}?`,
    );
  }
  const missing = required.find((name) => !names.includes(name));
  if (missing !== undefined) throw badTemplate(path, `the template has no {{${missing}}}`, `add {{${missing}}}`);
  return { name: path, text };
}

const isPlaceholder = (name: string): boolean =>
  (required as readonly string[]).includes(name) || (name.startsWith(columnPrefix) && name.length > columnPrefix.length);

function contentOf(path: string): string {
  try {
    return readFileSync(path, "utf8").trimEnd();
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read the template", place: path }) : error;
  }
}

/**
 * The question of one row. A placeholder in an answer stays as it is.
 *
 * @throws LapidaryError LAP_JUDGE_TEMPLATE if the row lacks a column
 */
export function renderQuestion({ name, text }: JudgeTemplate, { prompt, first, second, columns }: JudgedAnswers): string {
  const texts = new Map<string, string>([
    ["prompt", prompt],
    ["answer_a", first],
    ["answer_b", second],
  ]);
  return text.replaceAll(placeholder, (_, inner: string) => {
    const key = inner.trim();
    return texts.get(key) ?? columnText(columns, key.slice(columnPrefix.length), name);
  });
}

function columnText(columns: JudgedAnswers["columns"], column: string, template: string): string {
  const value = Object.hasOwn(columns, column) ? columns[column] : undefined;
  if (value === undefined)
    throw badTemplate(
      template,
      `the template reads the column ${column}, which the row does not have`,
      `give every row the column ${column}`,
    );
  return typeof value === "string" ? value : JSON.stringify(value);
}

function badTemplate(location: string, message: string, remedy: string): LapidaryError {
  return new LapidaryError({ code: "LAP_JUDGE_TEMPLATE", message, location, remedy });
}
