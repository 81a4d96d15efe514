import { type C4Measures, c4Filter } from "./c4.js";
import { type FineWebMeasures, fineWebMeasures } from "./fineweb.js";
import { type GopherMeasures, gopherMeasures } from "./gopher.js";
import { codePoints } from "./python-text.js";
import { type RepetitionMeasures, repetitionMeasures } from "./repetition.js";
import type { WordSplitter } from "./words.js";

/** What is measured of a text. Measures have no thresholds: rules do, so that a changed rule needs no new measure. */
interface TextMeasures extends C4Measures, GopherMeasures, RepetitionMeasures, FineWebMeasures {
  /** Code points. */
  readonly characters: number;
}

export type MeasureName = keyof TextMeasures;

export interface MeasuredText {
  readonly measures: TextMeasures;
  /** The text that the filter of C4 leaves. */
  readonly c4Text: string;
}

/** Measures a text once, for all presets. A share whose whole is empty is NaN, and no rule fires on NaN. */
export function measureText(text: string, splitter: WordSplitter): MeasuredText {
  const words = splitter.words(text);
  const characters = codePoints(text);
  const c4 = c4Filter(text);
  return {
    measures: {
      characters,
      ...c4.measures,
      ...gopherMeasures(text, words),
      ...repetitionMeasures(text, words, characters),
      ...fineWebMeasures(text, words, characters),
    },
    c4Text: c4.text,
  };
}
