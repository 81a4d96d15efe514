import { readFileSync } from "node:fs";
import {
  bandKeys,
  ContaminationIndex,
  datatroveRule,
  findPii,
  LanguageClassifier,
  minHash,
  plainWordScanner,
  shinglesOf,
} from "@lapidary/detectors";
import { LapidaryError, suggest } from "@lapidary/std";
import { droppedBy, patternWords, presets, TextMeter } from "@lapidary/text-filters";
import { SentencePieceTokenizer } from "@lapidary/tokenizer";
import { z } from "zod";
import { fixtureRows } from "../judge/fixtures.js";
import { jsonLine, type Stage, type StageFunction } from "./stage.js";

const item = z.object({ id: z.string(), query: z.string(), label: z.string(), context: z.string().optional() });
const labelled = z.object({ language: z.string().nullable(), text: z.string() });

const itemsOf = (fixtures: string): z.infer<typeof item>[] => fixtureRows(fixtures, "decontamination/evals.jsonl", item);

/** Keeps a text that no rule of these presets drops. */
function presetFilter(names: readonly string[]): StageFunction {
  const meter = new TextMeter(patternWords);
  const chosen = presets.filter(({ name }) => names.includes(name));
  return (document) => {
    const { measures } = meter.measure(document.text);
    return chosen.every(({ rules }) => droppedBy(rules, measures) === undefined) ? jsonLine(document) : undefined;
  };
}

function languageOf(fixtures: string): (text: string) => string {
  const documents = fixtureRows(fixtures, "classify/documents.jsonl", labelled);
  const classifier = new LanguageClassifier(
    documents.flatMap(({ language, text }) => (language === null ? [] : [{ text, label: language }])),
  );
  return (text) => classifier.classify(text);
}

/** The text with a placeholder for each finding. */
function redacted(text: string): string {
  let [kept, end] = ["", 0];
  for (const finding of findPii(text)) {
    kept += `${text.slice(end, finding.start)}<${finding.kind}>`;
    end = finding.end;
  }
  return kept + text.slice(end);
}

/** The keys of the bands of a signature, 8 bytes each. */
function signing(): StageFunction {
  const scanner = plainWordScanner();
  return ({ text }) => {
    const { hashes, count } = scanner.read(text);
    const signature = minHash(shinglesOf(hashes, count, 5));
    return new Uint8Array(new Float64Array(signature === undefined ? [] : bandKeys(signature)).buffer);
  };
}

function tokenizing(path: string): StageFunction {
  const tokenizer = new SentencePieceTokenizer(readFileSync(path), path);
  return ({ text }) => new Uint8Array(new Uint32Array(tokenizer.encode(text)).buffer);
}

/** All stages, in the order of a pipeline. */
export const stages: readonly Stage[] = [
  {
    name: "copy",
    summary: "reads and writes JSON lines",
    peer: "datatrove",
    goal: undefined,
    open: () => jsonLine,
  },
  {
    name: "gopher",
    summary: "the repetition and quality filters of Gopher",
    peer: "datatrove",
    goal: undefined,
    open: () => presetFilter(["gopher_repetition", "gopher_quality"]),
  },
  { name: "c4", summary: "the filter of C4", peer: "datatrove", goal: undefined, open: () => presetFilter(["c4_quality"]) },
  { name: "fineweb", summary: "the filter of FineWeb", peer: "datatrove", goal: undefined, open: () => presetFilter(["fineweb_quality"]) },
  {
    name: "language",
    summary: "the language of each document",
    peer: undefined,
    goal: undefined,
    open({ fixtures }) {
      const language = languageOf(fixtures);
      return ({ name, text }) => `${JSON.stringify({ id: name, language: language(text) })}\n`;
    },
  },
  {
    name: "filters",
    summary: "the filters of Gopher, C4 and FineWeb in a row, and the language of what they keep; the peer has no language",
    peer: "datatrove",
    goal: 15,
    open({ fixtures }) {
      const [language, filter] = [languageOf(fixtures), presetFilter(presets.map(({ name }) => name))];
      // As in the peer, a filter of the row does not see what a filter before it dropped.
      return (document) => {
        const kept = filter(document);
        return kept === undefined || language(document.text) === "code" ? undefined : kept;
      };
    },
  },
  {
    name: "pii",
    summary: "personal data and keys replaced: nine kinds; the peer has e-mail and IP addresses",
    peer: "datatrove",
    goal: undefined,
    open:
      () =>
      ({ name, text }) =>
        jsonLine({ name, text: redacted(text) }),
  },
  { name: "signatures", summary: "MinHash signatures, 14 × 8 of 5 words", peer: "datatrove", goal: 25, open: signing },
  {
    name: "decontaminate",
    summary: "the rule of the peer: 12 words of an evaluation item",
    peer: "datatrove",
    goal: 15,
    open({ fixtures }) {
      const rule = datatroveRule(patternWords, true);
      for (const each of itemsOf(fixtures)) rule.add(each);
      return (document) => (rule.isContaminated(document.text) ? undefined : jsonLine(document));
    },
  },
  {
    name: "decontaminate-own",
    summary: "our rule, which finds changed and short items too",
    peer: "datatrove",
    goal: 15,
    open({ fixtures }) {
      const index = new ContaminationIndex(itemsOf(fixtures));
      return (document) => (index.find(document.text) === undefined ? jsonLine(document) : undefined);
    },
  },
  {
    name: "tokenize",
    summary: "ids of the tokenizer; by default 256,000 pieces that merge by byte pairs, as Gemma's",
    peer: "SentencePiece",
    goal: 1,
    open: ({ tokenizer }) => tokenizing(tokenizer),
  },
  {
    name: "tokenize-unigram",
    summary: "ids of a unigram model with the same pieces",
    peer: "SentencePiece",
    goal: 1,
    open: ({ unigram }) => tokenizing(unigram),
  },
];

/**
 * The stage with a name.
 *
 * @throws LapidaryError LAP_BENCH_STAGE
 */
export function stageOf(name: string): Stage {
  const names = stages.map((each) => each.name);
  const found = stages.find((each) => each.name === name);
  if (found !== undefined) return found;
  throw new LapidaryError({
    code: "LAP_BENCH_STAGE",
    message: `unknown stage: ${name}`,
    location: "--stage",
    remedy: `write ${suggest(name, names) ?? "a stage"}; the stages are ${names.join(", ")}`,
  });
}
