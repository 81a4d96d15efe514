import { readFileSync } from "node:fs";
import { likeliestLabel, openTextModel, type TextFeatures, type TextModelFile, trainTextModel } from "@lapidary/detectors";
import { ensure, hash32, hashString, isSystemError, LapidaryError, parsedJson, systemError } from "@lapidary/std";
import { z } from "zod";
import type { Reporter } from "../reporter.js";

export interface TrainFilterRequest {
  /** JSON lines; absolute. */
  readonly files: readonly string[];
  /** The key of a row that has its label. */
  readonly label: string;
  readonly features: TextFeatures;
  readonly seed: number;
}

/** How many of the texts that a model did not see have their label. */
export interface Accuracy {
  readonly texts: number;
  readonly right: number;
}

export interface TrainedFilter {
  readonly file: TextModelFile;
  /** Texts by label. */
  readonly labels: Readonly<Record<string, number>>;
  /** A fifth of the texts, chosen by their hashes. */
  readonly random: Accuracy;
  /** Each source, labelled by a model of all other sources. Empty if the rows have fewer than two sources. */
  readonly sources: Readonly<Record<string, Accuracy>>;
}

interface Row {
  readonly text: string;
  readonly label: string;
  readonly source: string | undefined;
}

const minTexts = 10;
const heldOutEvery = 5;
const labelPattern = /^[A-Za-z0-9_][\w-]*$/;
const rowSchema = z.looseObject({ text: z.string().min(1), source: z.string().optional() });

/**
 * Trains a model of labels, such as quality, kind or safety, and tests it on texts and on sources that it did not see. The model itself is trained on all
 * rows.
 *
 * @throws LapidaryError LAP_DATA_LABELS, LAP_FILE_…
 */
export function trainFilter({ files, label, features, seed }: TrainFilterRequest, reporter: Pick<Reporter, "progress">): TrainedFilter {
  const rows = files.flatMap((file) => rowsOf(file, label));
  const labels = countsOf(rows);
  const few = Object.entries(labels).find(([, count]) => count < minTexts);
  if (few !== undefined || Object.keys(labels).length < 2)
    throw unusable(
      files[0] ?? "",
      few === undefined ? "they have fewer than two labels" : `the label ${few[0]} has ${few[1]} of the ${minTexts} texts that it needs`,
    );
  const testOn = (isHeld: (row: Row) => boolean): Accuracy => {
    const [held, seen] = [rows.filter(isHeld), rows.filter((row) => !isHeld(row))];
    const known = new Set(seen.map((row) => row.label));
    const tested = held.filter((row) => known.has(row.label));
    if (known.size < 2) return { texts: 0, right: 0 };
    const model = ensure(openTextModel(trainTextModel(seen, features, seed)), "a model");
    return {
      texts: tested.length,
      right: tested.filter((row) => likeliestLabel(model, model.probabilities(row.text)) === row.label).length,
    };
  };
  reporter.progress("test the model", "texts that it did not see");
  const random = testOn(({ text }) => hash32(seed, hashString(text)) % heldOutEvery === 0);
  const names = [...new Set(rows.flatMap(({ source }) => source ?? []))].sort();
  const sources: Record<string, Accuracy> = {};
  if (names.length > 1)
    for (const name of names) {
      reporter.progress("test the model", `the source ${name}`);
      sources[name] = testOn(({ source }) => source === name);
    }
  reporter.progress("train the model", `${rows.length} texts`);
  return { file: trainTextModel(rows, features, seed), labels, random, sources };
}

function rowsOf(file: string, label: string): Row[] {
  return contentOf(file)
    .split("\n")
    .flatMap((line, i) => {
      if (line.trim() === "") return [];
      const place = `${file}:${i + 1}`;
      const parsed = rowSchema.safeParse(parsedJson(line));
      if (!parsed.success) throw unusable(place, "the row is not an object with a text");
      const own = Object.hasOwn(parsed.data, label) ? parsed.data[label] : undefined;
      // Such as in a file with several kinds of labels.
      if (own === null) return [];
      const text = typeof own === "boolean" || typeof own === "number" ? String(own) : own;
      if (typeof text !== "string" || !labelPattern.test(text)) throw unusable(place, `${label} is not a word of letters, digits, _ and -`);
      return [{ text: parsed.data.text, label: text, source: parsed.data.source }];
    });
}

function countsOf(rows: readonly Row[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { label } of rows) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

const unusable = (location: string, why: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_LABELS", message: `the labelled rows cannot be used: ${why}`, location });

function contentOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read the labelled rows", place: path }) : error;
  }
}
