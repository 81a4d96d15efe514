import { type JsonValue, suggest } from "@lapidary/std";
import { asTurns, type Example, type Part, type RowSource, type Turn } from "./example.js";
import { badPair, badRowFormat, badRowValue, emptyText, unknownRowKey } from "./example-errors.js";
import {
  checkAnswered,
  checkPrompt,
  describeValue,
  readConversation,
  readMessages,
  readOptionalText,
  readPart,
  readText,
} from "./turns.js";

export type FormatName = "messages" | "sharegpt" | "completion" | "alpaca" | "preference" | "prompt" | "text";

export type JsonObject = Readonly<Record<string, JsonValue>>;

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** An example without what all formats have in common. */
type Content = DistributiveOmit<Example, keyof RowSource | "subset" | "columns">;

interface Format {
  readonly required: readonly string[];
  readonly optional: readonly string[];
  /** Whether further keys are columns for a checker. */
  readonly keepsColumns?: true;
  read(row: JsonObject): Content;
}

/** Keys that every format allows: they are kept as columns. */
const commonKeys = ["id", "subset", "source", "metadata"] as const;

const formats: Readonly<Record<FormatName, Format>> = {
  messages: { required: ["messages"], optional: [], read: ({ messages }) => chat(readMessages(messages, "messages"), "messages") },
  sharegpt: { required: ["conversations"], optional: ["system"], read: readShareGpt },
  completion: { required: ["prompt", "completion"], optional: [], read: readCompletion },
  // Published files in the format of Alpaca often have the rendered prompt in `text`.
  alpaca: { required: ["instruction", "output"], optional: ["input", "text"], read: readAlpaca },
  preference: { required: ["chosen", "rejected"], optional: ["prompt", "margin"], read: readPreference },
  prompt: {
    required: ["prompt"],
    optional: [],
    keepsColumns: true,
    read: ({ prompt }) => ({ kind: "prompt", prompt: readPrompt(prompt) }),
  },
  text: { required: ["text"], optional: [], read: ({ text }) => ({ kind: "text", text: readText(text, "text") }) },
};

export const formatNames = Object.keys(formats) as readonly FormatName[];

/** Whether a row has a key. A value `null` counts as absent, because tables write it for empty cells. */
const has = (row: JsonObject, key: string): boolean => Object.hasOwn(row, key) && row[key] !== null;

/**
 * The format of a row by its keys. If the keys of a format are also keys of another one that matches, the other one wins: a row with `prompt`
 * and `completion` is not a prompt.
 *
 * @returns the matching formats: none or several if the keys do not decide
 */
export function detectFormat(row: JsonObject): readonly FormatName[] {
  const matching = formatNames.filter((name) => formats[name].required.every((key) => has(row, key)));
  return matching.filter((name) => !matching.some((other) => other !== name && covers(formats[other], formats[name])));
}

const covers = (large: Format, small: Format): boolean =>
  small.required.every((key) => large.required.includes(key) || large.optional.includes(key));

/** The refusal of a row whose keys decide for no format or for several. */
export function undecidedFormat(row: JsonObject): Error {
  const names = detectFormat(row);
  const keys = Object.keys(row).map((key) => `\`${key}\``);
  return names.length > 1
    ? badRowFormat(`the keys match the formats ${names.join(" and ")}`, `set \`format: ${names[0]}\` or another one`)
    : badRowFormat(
        keys.length === 0 ? "the row has no keys" : `the keys ${keys.join(", ")} match no format`,
        `rename the keys to those of a format: ${formatNames.map((name) => formats[name].required.join("+")).join(", ")}`,
      );
}

export interface RowOptions {
  /** What happens to a key that the format does not define: the row is refused (default), or the value is kept as a column. */
  readonly columns?: "refuse" | "keep";
  /** The subset of rows that name none. */
  readonly subset?: string;
}

/**
 * The example of a row.
 *
 * @throws LapidaryError `LAP_EXAMPLE_…`
 */
export function readRow(row: JsonObject, name: FormatName, source: RowSource, options: RowOptions = {}): Example {
  const format = formats[name];
  const missing = format.required.find((key) => !has(row, key));
  if (missing !== undefined)
    throw badRowFormat(`the row has no \`${missing}\`, which the format ${name} requires`, "add it, or set another `format:`");
  const used = [...format.required, ...format.optional];
  const known: readonly string[] = [...used, ...commonKeys];
  const further = Object.keys(row).filter((key) => !known.includes(key));
  const unknown = further.find((key) => has(row, key));
  if (unknown !== undefined && format.keepsColumns !== true && options.columns !== "keep")
    throw unknownRowKey(unknown, name, suggest(unknown, known));
  const subset = readOptionalText(row["subset"], "subset") ?? options.subset;
  // The text of an Alpaca row repeats its other keys, and is a column too.
  const isColumn = (key: string): boolean => key !== "subset" && (!used.includes(key) || (name === "alpaca" && key === "text"));
  const columns = Object.fromEntries(Object.entries(row).filter(([key]) => isColumn(key)));
  return { ...source, ...(subset === undefined ? {} : { subset }), columns, ...format.read(row) };
}

function chat(turns: readonly Turn[], key: string): Content {
  checkAnswered(turns, key);
  return { kind: "chat", turns };
}

function readShareGpt({ system, conversations }: JsonObject): Content {
  const text = readOptionalText(system, "system");
  const turns = readConversation(conversations, "conversations");
  return chat(text === undefined ? turns : [{ role: "system", content: text }, ...turns], "conversations");
}

function readPrompt(value: JsonValue | undefined): Part {
  const prompt = readPart(value, "prompt");
  if (typeof prompt !== "string") checkPrompt(prompt, "prompt");
  return prompt;
}

/** If one of the two is a list of messages, the other becomes turns too. */
function readCompletion(row: JsonObject): Content {
  const prompt = readPrompt(row["prompt"]);
  const completion = readPart(row["completion"], "completion");
  if (typeof prompt === "string" && typeof completion === "string") return { kind: "completion", prompt, completion };
  const [before, answer] = [asTurns(prompt, "user"), asTurns(completion, "model")];
  checkAnswered([...before, ...answer], "completion");
  return { kind: "completion", prompt: before, completion: answer };
}

function readAlpaca({ instruction, input, output }: JsonObject): Content {
  const context = readOptionalText(input, "input");
  const question = readText(instruction, "instruction");
  return {
    kind: "completion",
    prompt: [{ role: "user", content: context === undefined ? question : `${question}\n\n${context}` }],
    completion: [{ role: "model", content: readText(output, "output") }],
  };
}

function readPreference(row: JsonObject): Content {
  const [chosen, rejected] = [readPart(row["chosen"], "chosen"), readPart(row["rejected"], "rejected")];
  const pair = has(row, "prompt") ? withPrompt(readPrompt(row["prompt"]), chosen, rejected) : withCommonPrefix(chosen, rejected);
  if (JSON.stringify(pair.chosen) === JSON.stringify(pair.rejected)) throw badPair("the chosen and the rejected answer are equal");
  const margin = row["margin"] ?? undefined;
  if (margin === undefined) return { kind: "preference", ...pair };
  if (typeof margin !== "number" || !Number.isFinite(margin)) throw badRowValue("margin", describeValue(margin), "a finite number");
  return { kind: "preference", ...pair, margin };
}

interface Pair {
  readonly prompt: Part;
  readonly chosen: Part;
  readonly rejected: Part;
}

function withPrompt(prompt: Part, chosen: Part, rejected: Part): Pair {
  if ([prompt, chosen, rejected].every((part) => typeof part === "string")) return { prompt, chosen, rejected };
  const before = asTurns(prompt, "user");
  const [better, worse] = [asTurns(chosen, "model"), asTurns(rejected, "model")];
  const areWhole = [better, worse].map((turns) => turns[0]?.role !== "model");
  if (areWhole.every((isWhole) => isWhole)) return withRepeatedPrompt(prompt, better, worse);
  if (areWhole.some((isWhole) => isWhole)) throw badPair("one of `chosen` and `rejected` is a whole dialogue, and the other is an answer");
  checkAnswered([...before, ...better], "chosen");
  checkAnswered([...before, ...worse], "rejected");
  return { prompt: before, chosen: better, rejected: worse };
}

/** Some files repeat the prompt at the start of both dialogues. */
function withRepeatedPrompt(prompt: Part, chosen: readonly Turn[], rejected: readonly Turn[]): Pair {
  const pair = withCommonPrefix(chosen, rejected);
  const before = asTurns(pair.prompt, "user");
  const isRepeated = typeof prompt === "string" ? before.at(-1)?.content === prompt : JSON.stringify(before) === JSON.stringify(prompt);
  if (!isRepeated) throw badPair("`prompt` is not the common start of `chosen` and `rejected`");
  return pair;
}

/** The common prefix of two dialogues is their prompt. */
function withCommonPrefix(chosen: Part, rejected: Part): Pair {
  if (typeof chosen === "string" || typeof rejected === "string")
    throw badRowFormat("`chosen` and `rejected` are texts without a `prompt`", "add `prompt`, or write both as dialogues");
  checkAnswered(chosen, "chosen");
  checkAnswered(rejected, "rejected");
  const different = chosen.findIndex((turn, at) => turn.role !== rejected[at]?.role || turn.content !== rejected[at]?.content);
  const shared = different < 0 ? chosen.length : different;
  if (shared === chosen.length && shared === rejected.length) throw badPair("the chosen and the rejected dialogue are equal");
  const rests = [chosen.slice(shared), rejected.slice(shared)] as const;
  if (shared === 0 || rests.some(([first]) => first?.role !== "model"))
    throw badPair("the chosen and the rejected dialogue do not first differ in an answer of the model");
  const prompt = chosen.slice(0, shared);
  if (prompt.every(({ role }) => role === "system")) throw emptyText("prompt");
  return { prompt, chosen: rests[0], rejected: rests[1] };
}
