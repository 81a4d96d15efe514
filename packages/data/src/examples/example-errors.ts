import { counted, LapidaryError, suggest } from "@lapidary/std";

/** The errors about examples: one function each. A reader turns an error about one row into a refused row. */

export const badRowJson = (why: string): LapidaryError => new LapidaryError({ code: "LAP_EXAMPLE_JSON", message: `the row ${why}` });

export const badRowUtf8 = (what: string): LapidaryError => new LapidaryError({ code: "LAP_EXAMPLE_NOT_UTF8", message: what });

export const badRowFormat = (message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_EXAMPLE_FORMAT", message, remedy });

/** @param near a key of the format that is spelled similarly */
export const unknownRowKey = (key: string, format: string, near: string | undefined): LapidaryError =>
  new LapidaryError({
    code: "LAP_EXAMPLE_KEY",
    message: `the format ${format} does not define the key \`${key}\``,
    location: key,
    remedy: near === undefined ? "remove the key, or set `columns: keep`" : `did you mean \`${near}\`? If not, remove the key`,
  });

export const badRowValue = (key: string, got: string, expected: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_EXAMPLE_VALUE",
    message: `\`${key}\` is ${got}, expected ${expected}`,
    location: key,
    remedy: `write ${expected} in \`${key}\``,
  });

export const emptyText = (key: string): LapidaryError =>
  new LapidaryError({ code: "LAP_EXAMPLE_EMPTY", message: `\`${key}\` is empty`, location: key });

export const badRole = (message: string): LapidaryError => new LapidaryError({ code: "LAP_EXAMPLE_ROLE", message });

export const missingAnswer = (key: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_EXAMPLE_NO_ANSWER",
    message: `the last turn of \`${key}\` is not an answer of the model`,
    location: key,
  });

export const badPair = (message: string): LapidaryError => new LapidaryError({ code: "LAP_EXAMPLE_PAIR", message });

export const tooLong = (what: string, tokens: number, limit: number): LapidaryError =>
  new LapidaryError({ code: "LAP_EXAMPLE_TOO_LONG", message: `the ${what} has ${tokens} tokens, and at most ${limit} fit` });

export const controlText = (names: readonly string[]): LapidaryError =>
  new LapidaryError({
    code: "LAP_EXAMPLE_CONTROL_TEXT",
    message: `the tokenizer reads ${names.map((name) => `\`${name}\``).join(", ")} in a text as a control token`,
  });

export const filteredOut = (filter: string, detail: string): LapidaryError =>
  new LapidaryError({ code: "LAP_EXAMPLE_FILTERED", message: `the filter ${filter} found ${detail}` });

/** @param first the reason of the first refused row */
export const noExamples = (file: string, first: string | undefined): LapidaryError =>
  new LapidaryError({
    code: "LAP_EXAMPLE_NONE",
    message: first === undefined ? `${file} has no rows` : `${file} has no usable row; the first is refused because ${first}`,
    location: file,
    remedy: "correct the rows; the formats are in packages/data/README.md",
  });

export const missingTurnTokens = (name: string): LapidaryError =>
  new LapidaryError({ code: "LAP_EXAMPLE_TURN_TOKENS", message: `the vocabulary of the tokenizer has no ${name}` });

export const badMixture = (message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_EXAMPLE_MIXTURE", message, remedy });

/** @param use what the example cannot be used for */
export const wrongKind = (kind: string, use: string, remedy: string): LapidaryError =>
  badRowFormat(`an example of the kind ${kind} cannot be used for ${use}`, remedy);

/** @param known the subsets of the file */
export function unknownSubset(file: string, subset: string, known: ReadonlySet<string>): LapidaryError {
  const near = suggest(subset, known);
  return badMixture(
    `${file} has no subset ${JSON.stringify(subset)}`,
    near === undefined ? "correct the name, or tag rows with the key `subset`" : `did you mean ${near}?`,
  );
}

/** @param examples number of different examples */
export const indivisibleExamples = (file: string, examples: number): LapidaryError =>
  new LapidaryError({
    code: "LAP_DATA_TOO_SMALL",
    message: `${counted(examples, "example")} cannot be split into a training set and an evaluation set`,
    location: file,
    remedy: "add examples, or name evaluation files in data.eval",
  });
