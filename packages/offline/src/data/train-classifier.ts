import { readFileSync } from "node:fs";
import { labelledTexts, readExamples, type RefusedRow, requireExamples } from "@lapidary/data";
import { chooseThreshold, type ClassifierQuality, type LabelledText, TextClassifier, trainClassifier } from "@lapidary/detectors";
import { hash32, hashString, isSystemError, LapidaryError, systemError } from "@lapidary/std";
import type { Reporter } from "../reporter.js";

export interface ClassifierRequest {
  /** Files of labelled examples; absolute. */
  readonly files: readonly string[];
  /** Share of right decisions among the removed texts that the threshold must reach on held-out texts. */
  readonly precision: number;
  readonly seed: number;
}

export interface TrainedClassifier {
  /** The contents of the file. */
  readonly json: string;
  readonly trained: LabelCounts;
  readonly heldOut: LabelCounts;
  /** On the held-out texts. */
  readonly quality: ClassifierQuality;
  readonly refused: readonly RefusedRow[];
}

interface LabelCounts {
  readonly unsafe: number;
  readonly safe: number;
}

/** Of this many texts, one is held out. */
const heldOutEvery = 5;
/** With fewer held-out texts of a label, a precision means nothing. */
const minHeldOut = 5;

/**
 * Trains a classifier on four fifths of the texts and chooses its threshold on the others. A hash of the text and the seed decides, so equal texts are
 * on one side.
 *
 * @throws LapidaryError LAP_CLASSIFIER_ROWS if a label has too few texts, LAP_CLASSIFIER_PRECISION if no threshold reaches the precision
 */
export function trainTextClassifier(
  { files, precision, seed }: ClassifierRequest,
  reporter: Pick<Reporter, "progress">,
): TrainedClassifier {
  reporter.progress("read the labelled rows");
  const texts: LabelledText[] = [];
  const refused: RefusedRow[] = [];
  for (const file of files) {
    const read = readExamples(file, { columns: "keep" });
    requireExamples(read);
    const labelled = labelledTexts(read.examples);
    texts.push(...labelled.texts);
    refused.push(...read.refused, ...labelled.refused);
  }
  const isHeldOut = ({ text }: LabelledText): boolean => hash32(seed, hashString(text)) % heldOutEvery === 0;
  const [trained, heldOut] = [texts.filter((each) => !isHeldOut(each)), texts.filter(isHeldOut)];
  const counts = { trained: countsOf(trained), heldOut: countsOf(heldOut) };
  if (Math.min(counts.heldOut.unsafe, counts.heldOut.safe) < minHeldOut) throw tooFew(files[0] ?? "", countsOf(texts), refused[0]);
  reporter.progress("train the classifier", `${trained.length} texts`);
  const classifier = trainClassifier(trained, seed);
  const quality = chooseThreshold(classifier, heldOut, precision);
  if (!("threshold" in quality))
    throw new LapidaryError({
      code: "LAP_CLASSIFIER_PRECISION",
      message: `no threshold reaches a precision of ${precision} on the held-out texts; the best is ${quality.bestPrecision.toFixed(3)}`,
      location: files[0] ?? "",
      remedy: "add labelled rows, most of all harmless texts that are like unsafe ones, or give a lower --precision",
    });
  return { json: JSON.stringify(classifier.withThreshold(quality.threshold).file), ...counts, quality, refused };
}

const countsOf = (texts: readonly LabelledText[]): LabelCounts => {
  const unsafe = texts.filter(({ isPositive }) => isPositive).length;
  return { unsafe, safe: texts.length - unsafe };
};

function tooFew(file: string, { unsafe, safe }: LabelCounts, first: RefusedRow | undefined): LapidaryError {
  return new LapidaryError({
    code: "LAP_CLASSIFIER_ROWS",
    message: `${unsafe} unsafe and ${safe} safe texts are too few to train and to test a classifier${first === undefined ? "" : `; row ${first.row} is refused because ${first.reason}`}`,
    location: file,
    remedy: `give each label at least ${2 * heldOutEvery * minHeldOut} rows, such as {"text": "…", "label": "unsafe"}`,
  });
}

/** @throws LapidaryError LAP_CLASSIFIER_FILE, LAP_FILE_… */
export function readClassifier(path: string): TextClassifier {
  const classifier = TextClassifier.parse(jsonOf(path));
  if (classifier !== undefined) return classifier;
  throw new LapidaryError({
    code: "LAP_CLASSIFIER_FILE",
    message: "the file is not a classifier of texts",
    location: path,
    remedy: "write one with `lapidary data classifier`",
  });
}

function jsonOf(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (isSystemError(error)) throw systemError(error, { doing: "read the classifier", place: path });
    return undefined;
  }
}
