import { type C4Measures, c4Filter } from "./c4.js";
import { type FineWebMeasures, fineWebMeasures } from "./fineweb.js";
import { type GopherMeasures, gopherMeasures } from "./gopher.js";
import { countLines } from "./lines.js";
import { type RepetitionMeasures, RepetitionMeter } from "./repetition.js";
import { WordList } from "./word-list.js";
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

/** Measures texts for all presets. The words of a text are found once, in memory that the next text uses again. */
export class TextMeter {
  readonly #words: WordList;
  readonly #repetition = new RepetitionMeter();

  constructor(splitter: WordSplitter) {
    this.#words = new WordList(splitter);
  }

  /** A share whose whole is empty is NaN, and no rule fires on NaN. */
  measure(text: string): MeasuredText {
    const words = this.#words;
    words.read(text);
    const characters = words.textCharacters;
    const lines = countLines(text);
    const c4 = c4Filter(text);
    return {
      measures: {
        characters,
        ...c4.measures,
        ...gopherMeasures(text, words),
        ...this.#repetition.measure(text, words, lines),
        ...fineWebMeasures(lines, words.count, characters),
      },
      c4Text: c4.text,
    };
  }
}
