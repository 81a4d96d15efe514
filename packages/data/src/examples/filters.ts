import type { Clock } from "@lapidary/std";
import {
  type EvaluationText,
  findMistakenIdentity,
  findPii,
  type IdentityOptions,
  isShort,
  type Lexicon,
  maskedExcerpt,
  MinHashIndex,
  OverlapIndex,
  type TextClassifier,
  UnsafeDetector,
} from "@lapidary/detectors";
import { desiredTexts, type Example, type RefusedRow, type RowSource, refusedRow, type Turn, textsOf } from "./example.js";
import { filteredOut } from "./example-errors.js";
import { trim } from "./template.js";

/** The filters that a job file can name. */
export const filterNames = ["schema", "pii", "unsafe", "identity", "duplicates", "contamination"] as const;
export type FilterName = (typeof filterNames)[number];

/** Why a filter removes an example. */
interface FilterReason {
  /** For counts. */
  readonly kind: string;
  /** A noun phrase. It does not contain personal data. */
  readonly detail: string;
}

/** Decides about one example after another. A filter of duplicates remembers the examples that it has seen. */
export interface ExampleFilter {
  readonly name: FilterName;
  /** @returns undefined if the example stays */
  check(example: Example): FilterReason | undefined;
}

/** What a filter did. */
export interface FilterReport {
  readonly filter: FilterName;
  /** Number of examples that reached the filter. */
  readonly checked: number;
  readonly removed: number;
  readonly removedByKind: Readonly<Record<string, number>>;
  readonly milliseconds: number;
  /** The first removed rows. */
  readonly examples: readonly (RowSource & FilterReason)[];
}

export interface FilterResult {
  readonly kept: readonly Example[];
  /** Every removed example with its reason. */
  readonly refused: readonly RefusedRow[];
  readonly reports: readonly FilterReport[];
}

/** Maximum number of examples in a report. */
const maxShown = 5;

/** Applies filters in their order. An example that one filter removes does not reach the next. */
export function filterExamples(
  examples: readonly Example[],
  filters: readonly ExampleFilter[],
  clock: Pick<Clock, "monotonic">,
): FilterResult {
  let kept = examples;
  const refused: RefusedRow[] = [];
  const reports = filters.map((filter): FilterReport => {
    const start = clock.monotonic();
    const removed = new Map<Example, FilterReason>();
    for (const example of kept) {
      const reason = filter.check(example);
      if (reason !== undefined) removed.set(example, reason);
    }
    const checked = kept.length;
    kept = kept.filter((example) => !removed.has(example));
    const rows = [...removed].map(([{ file, row }, reason]) => ({ file, row, ...reason }));
    refused.push(...rows.map((row) => refusedRow(row, filteredOut(filter.name, row.detail))));
    const milliseconds = clock.monotonic() - start;
    const removedByKind = countsOf(rows.map(({ kind }) => kind));
    return { filter: filter.name, checked, removed: rows.length, removedByKind, milliseconds, examples: rows.slice(0, maxShown) };
  });
  return { kept, refused, reports };
}

function countsOf(kinds: readonly string[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export interface SchemaLimits {
  /** The kinds of examples that the recipe uses; all by default. */
  readonly kinds?: readonly Example["kind"][];
  /** Columns that the checker reads. */
  readonly columns?: readonly string[];
  readonly maxTurns?: number;
  /** Length of one text in characters. */
  readonly maxCharacters?: number;
  /** Length of one answer of the model in characters. */
  readonly minAnswerCharacters?: number;
}

/** Removes examples of other kinds, without required columns, or with texts of unusual length. */
export function schemaFilter(limits: SchemaLimits): ExampleFilter {
  const { kinds, columns = [], maxTurns = 64, maxCharacters = 100_000, minAnswerCharacters = 1 } = limits;
  const check = (example: Example): FilterReason | undefined => {
    if (kinds !== undefined && !kinds.includes(example.kind)) return { kind: "kind", detail: `an example of the kind ${example.kind}` };
    const missing = columns.find((column) => (example.columns[column] ?? undefined) === undefined);
    if (missing !== undefined) return { kind: "column", detail: `no value in the column \`${missing}\`` };
    const turns = textsOf(example);
    if (turns.length > maxTurns) return { kind: "turns", detail: `${turns.length} turns, and at most ${maxTurns} are allowed` };
    for (const [at, { role, content }] of turns.entries()) {
      const length = trim(content).length;
      if (length > maxCharacters) return { kind: "long text", detail: `${length} characters in turn ${at + 1}` };
      if (role === "model" && length < minAnswerCharacters)
        return { kind: "short answer", detail: `${length} characters in turn ${at + 1}` };
    }
    return undefined;
  };
  return { name: "schema", check };
}

/** The first reason that a turn gives. */
function inTurns(
  turns: readonly Turn[],
  roles: readonly Turn["role"][],
  find: (text: string) => FilterReason | undefined,
): FilterReason | undefined {
  for (const [at, { role, content }] of turns.entries()) {
    const reason = roles.includes(role) ? find(content) : undefined;
    if (reason !== undefined) return { kind: reason.kind, detail: `${reason.detail} in turn ${at + 1}` };
  }
  return undefined;
}

const allRoles = ["system", "user", "model"] as const;

/** Removes examples with personal data. */
export function piiFilter(): ExampleFilter {
  const find = (text: string): FilterReason | undefined => {
    const [first] = findPii(text);
    return first === undefined ? undefined : { kind: first.kind, detail: `personal data (${first.kind} ${maskedExcerpt(text, first)})` };
  };
  return { name: "pii", check: (example) => inTurns(textsOf(example), allRoles, find) };
}

export interface UnsafeOptions {
  readonly lexicon?: Lexicon | undefined;
  /** Finds texts without a phrase of the lexicon, if it was trained on labelled texts. */
  readonly classifier?: TextClassifier | undefined;
}

/**
 * Removes examples in which the model gives harmful instructions. A user may ask for them, because an example can train a refusal. A rejected answer
 * may give them.
 */
export function unsafeFilter({ lexicon, classifier }: UnsafeOptions = {}): ExampleFilter {
  const detector = new UnsafeDetector(lexicon);
  const find = (text: string): FilterReason | undefined => {
    const [first] = detector.find(text);
    if (first !== undefined) return { kind: first.kind, detail: `a phrase of the lexicon (${first.kind})` };
    if (classifier?.isPositive(text) !== true) return undefined;
    return { kind: "classifier", detail: `a text that the classifier scores ${classifier.probability(text).toFixed(2)}` };
  };
  return { name: "unsafe", check: (example) => inTurns(desiredTexts(example), ["model"], find) };
}

/** Removes examples in which the model says that it is another model. A rejected answer may say so. */
export function identityFilter(options?: IdentityOptions): ExampleFilter {
  const find = (text: string): FilterReason | undefined => {
    const [first] = findMistakenIdentity(text, options);
    return first === undefined
      ? undefined
      : { kind: first.kind, detail: `a mistaken identity (${JSON.stringify(text.slice(first.start, first.end))})` };
  };
  return { name: "identity", check: (example) => inTurns(desiredTexts(example), ["model"], find) };
}

/**
 * Removes examples whose texts are those of an earlier example, or nearly so. System texts do not count, because many examples share them.
 *
 * @param near false if only equal texts count. Examples of a task whose questions share a long wording are near-duplicates of each other
 */
export function duplicateFilter({ near = true }: { readonly near?: boolean } = {}): ExampleFilter {
  const exact = new Map<string, RowSource>();
  const index = new MinHashIndex();
  const sources: RowSource[] = [];
  const check = (example: Example): FilterReason | undefined => {
    const turns = textsOf(example).map(({ role, content }) => [role, trim(content)] as const);
    const key = JSON.stringify([example.kind, ...turns]);
    const same = exact.get(key);
    if (same !== undefined) return { kind: "duplicate", detail: `the texts of ${rowName(same)}` };
    exact.set(key, { file: example.file, row: example.row });
    if (!near) return undefined;
    sources.push({ file: example.file, row: example.row });
    const found = index.add(turns.flatMap(([role, content]) => (role === "system" ? [] : [content])).join("\n"));
    const earlier = sources[found?.of ?? -1];
    if (found === undefined || earlier === undefined) return undefined;
    return { kind: "near-duplicate", detail: `texts like those of ${rowName(earlier)} (similarity ${found.similarity.toFixed(2)})` };
  };
  return { name: "duplicates", check };
}

const rowName = ({ file, row }: RowSource): string => `row ${row} of ${file}`;

/**
 * Removes examples that have 13 consecutive words in common with a text that models are evaluated on. Of shorter texts only the first question of
 * a dialogue counts, because short answers such as "yes" are the same in many dialogues.
 */
export function contaminationFilter(evaluation: Iterable<EvaluationText>): ExampleFilter {
  const index = new OverlapIndex(evaluation);
  const check = (example: Example): FilterReason | undefined => {
    for (const text of comparedTexts(example)) {
      const found = index.find(text);
      if (found !== undefined) return { kind: "overlap", detail: `words of the evaluation set (${found.name})` };
    }
    return undefined;
  };
  return { name: "contamination", check };
}

/** The texts of examples that models are evaluated on. */
export function evaluationTexts(examples: readonly Example[]): readonly EvaluationText[] {
  return examples.flatMap((example) => comparedTexts(example).map((text) => ({ name: rowName(example), text })));
}

function comparedTexts(example: Example): readonly string[] {
  const turns = textsOf(example);
  const question = turns.findIndex(({ role }) => role === "user");
  return turns.filter(({ role, content }, at) => role !== "system" && (at === question || !isShort(content))).map(({ content }) => content);
}

/**
 * The filters of a recipe that trains on answers, by name and with their default settings.
 *
 * @param evaluation the examples that models are evaluated on
 */
export function filtersNamed(names: readonly FilterName[], evaluation: readonly Example[]): readonly ExampleFilter[] {
  const make: Readonly<Record<FilterName, () => ExampleFilter>> = {
    schema: () => schemaFilter({ kinds: ["chat", "completion", "text"] }),
    pii: () => piiFilter(),
    unsafe: () => unsafeFilter(),
    identity: () => identityFilter(),
    duplicates: () => duplicateFilter(),
    contamination: () => contaminationFilter(evaluationTexts(evaluation)),
  };
  return names.map((name) => make[name]());
}
