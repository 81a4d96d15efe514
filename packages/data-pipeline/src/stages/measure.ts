import { findPii, likeliestLabel, type TextModel, UnsafeDetector } from "@lapidary/detectors";
import { asJson } from "@lapidary/std";
import { type MeasureName, patternWords, TextMeter, whitespaceWords, type WordSplitter } from "@lapidary/text-filters";
import { z } from "zod";
import type { Columns } from "../rules/parse-expression.js";
import type { Value } from "../view/view.js";
import { languageOf } from "./language.js";
import { measureDocuments } from "./map-documents.js";
import { readTextModel } from "./text-model-file.js";
import { piiNames } from "./pii-names.js";
import { proseShare } from "./prose.js";
import type { Stage } from "./stage.js";

const measureGroups = ["language", "gopher", "c4", "fineweb", "quality", "safety", "pii"] as const;
type Group = (typeof measureGroups)[number];

const groups = z.array(z.enum(measureGroups)).min(1);
/** The columns of every document, and the first words of those of groups. */
const takenNames: readonly string[] = [...measureGroups, "characters", "repetition", "source", "file", "name", "bytes"];
const settings = z.union([
  groups.transform((of) => ({ of, words: "pattern" as const, models: {} })),
  z
    .strictObject({
      of: groups.default([]),
      words: z.enum(["pattern", "whitespace"]).default("pattern"),
      /** Models of `lapidary data train-filter` by the name of their columns. */
      models: z.record(z.string(), z.string().min(1)).default({}),
    })
    .refine(({ of, models }) => of.length > 0 || Object.keys(models).length > 0, { message: "measure has neither a group nor a model" })
    .superRefine(({ models }, context) => {
      for (const name of Object.keys(models)) {
        const why = nameMistake(name);
        if (why !== undefined) context.addIssue({ code: "custom", path: ["models", name], message: why });
      }
    }),
]);

function nameMistake(name: string): string | undefined {
  if (!/^[a-z][a-z0-9_-]*$/.test(name)) return "a name of a model has lower-case letters, digits, _ and -";
  return takenNames.includes(name) ? "other columns begin with this name" : undefined;
}
export type MeasureSettings = z.output<typeof settings>;

/** Columns that a group of measures adds, in order. */
interface MeasureGroup {
  readonly columns: Columns;
  /** Makes the function that measures; it is called once for each shard. */
  readonly open: (words: WordSplitter) => (text: string) => readonly Value[];
}

const numbers = (names: readonly string[]): Columns => new Map(names.map((name) => [name, "number"]));

/** All groups of measures of texts are measured in one pass. */
const names = Object.keys(new TextMeter(patternWords).measure("").measures) as readonly MeasureName[];
const namesOf: Readonly<Record<"gopher" | "c4" | "fineweb", readonly MeasureName[]>> = {
  gopher: names.filter((name) => /^(characters$|gopher\.|repetition\.)/.test(name)),
  c4: names.filter((name) => name.startsWith("c4.")),
  fineweb: names.filter((name) => name.startsWith("fineweb.")),
};
const piiColumns = Object.values(piiNames);

const otherGroups: Readonly<Record<Exclude<Group, keyof typeof namesOf>, MeasureGroup>> = {
  language: { columns: new Map([["language", "text"]]), open: () => (text) => [languageOf(text)] },
  quality: { columns: numbers(["quality.prose"]), open: () => (text) => [proseShare(text)] },
  safety: {
    columns: numbers(["safety.phrases", "safety.toxic"]),
    open: () => {
      const detector = new UnsafeDetector();
      return (text) => toxicity(detector.find(text).length, text);
    },
  },
  pii: {
    columns: numbers(piiColumns.map((kind) => `pii.${kind}`)),
    open: () => (text) => {
      const found = findPii(text);
      return piiColumns.map((kind) => found.filter((each) => piiNames[each.kind] === kind).length);
    },
  },
};

const isPublished = (group: Group): group is keyof typeof namesOf => Object.hasOwn(namesOf, group);

/** Phrases of the lexicon, and p / (1 + p) for p phrases per 1,000 words. */
function toxicity(phrases: number, text: string): readonly number[] {
  const thousands = (text.match(/\S+/g)?.length ?? 0) / 1000;
  const rate = phrases === 0 ? 0 : phrases / thousands;
  return [phrases, rate / (1 + rate)];
}

const columnsOf = ({ of, models }: MeasureSettings): Columns =>
  new Map([
    ...of.flatMap((group) => [...(isPublished(group) ? numbers(namesOf[group]) : otherGroups[group].columns)]),
    ...Object.entries(models).flatMap(([name, path]) => [...modelColumns(name, readTextModel(path))]),
  ]);

/** The most probable label, and the probability of each label. */
const modelColumns = (name: string, { labels }: TextModel): Columns =>
  new Map([[name, "text"], ...numbers(labels.map((label) => `${name}.${label}`))]);

/** Numbers and labels of documents, stored as columns next to the texts. A measure has no threshold: rules do. */
export const measure: Stage<MeasureSettings> = {
  settings,
  changes: false,
  located: (settings, resolvePath) => ({
    ...settings,
    models: Object.fromEntries(Object.entries(settings.models).map(([name, path]) => [name, resolvePath(path)])),
  }),
  files: ({ models }) => Object.values(models),
  // The content of a model is part of the key; without models the key is that of the groups.
  config: ({ of, words, models }) => asJson(Object.keys(models).length === 0 ? { of, words } : { of, words, models: Object.keys(models) }),
  columns: (settings, before) => new Map([...before, ...columnsOf(settings)]),
  steps: () => [
    {
      shape: "map",
      name: "measure",
      code: "2",
      writes: "columns",
      run: (view, settings) => measureDocuments(view, [...columnsOf(settings).keys()], measurer(settings)),
    },
  ],
};

function measurer({ of, words, models }: MeasureSettings): (document: { readonly text: string }) => readonly Value[] {
  const splitter = words === "pattern" ? patternWords : whitespaceWords;
  const others = new Map(of.flatMap((group) => (isPublished(group) ? [] : [[group, otherGroups[group].open(splitter)] as const])));
  const meter = of.some(isPublished) ? new TextMeter(splitter) : undefined;
  const opened = Object.values(models).map(readTextModel);
  return ({ text }) => {
    const published = meter?.measure(text).measures;
    return [
      ...of.flatMap((group) =>
        isPublished(group) ? namesOf[group].map((name) => published?.[name] ?? Number.NaN) : (others.get(group)?.(text) ?? []),
      ),
      ...opened.flatMap((model): readonly Value[] => {
        const probabilities = model.probabilities(text);
        return [likeliestLabel(model, probabilities), ...probabilities];
      }),
    ];
  };
}
