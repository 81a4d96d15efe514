import type { MeasureName } from "./measures.js";

/** Drops a text whose measure is below or above a limit. The limit itself is kept. */
export interface Rule {
  /** Why the text is dropped; the name that the published filter gives. */
  readonly reason: string;
  readonly measure: MeasureName;
  readonly below?: number;
  readonly above?: number;
}

export interface Preset {
  readonly name: string;
  /** The paper that defines the rules. */
  readonly source: string;
  /** In order: the first rule that drops a text is its reason. */
  readonly rules: readonly Rule[];
}

/** The reason of the first rule that drops the text; undefined if it is kept. */
export function droppedBy(rules: readonly Rule[], measures: Readonly<Record<MeasureName, number>>): string | undefined {
  return rules.find(({ measure, below = Number.NEGATIVE_INFINITY, above = Number.POSITIVE_INFINITY }) => {
    const value = measures[measure];
    return value < below || value > above;
  })?.reason;
}
