import { LapidaryError } from "@lapidary/std";
import type { LabelledText } from "@lapidary/detectors";
import { desiredTexts, type Example, type RefusedRow, refusedRow } from "./example.js";
import { badRowValue } from "./example-errors.js";
import { describeValue } from "./turns.js";

const positive: readonly unknown[] = [true, 1, "unsafe"];
const negative: readonly unknown[] = [false, 0, "safe"];

/**
 * The texts of the model in examples with a column `label`: true, 1 or "unsafe" for a text that the filter must remove; false, 0 or "safe" for a
 * text that stays.
 */
export function labelledTexts(examples: readonly Example[]): {
  readonly texts: readonly LabelledText[];
  readonly refused: readonly RefusedRow[];
} {
  const texts: LabelledText[] = [];
  const refused: RefusedRow[] = [];
  for (const example of examples) {
    try {
      texts.push({ text: modelText(example), isPositive: labelOf(example) });
    } catch (error) {
      // Another error is a mistake of this program, not of the row.
      if (!(error instanceof LapidaryError)) throw error;
      refused.push(refusedRow(example, error));
    }
  }
  return { texts, refused };
}

const modelText = (example: Example): string =>
  desiredTexts(example)
    .flatMap(({ role, content }) => (role === "model" ? [content] : []))
    .join("\n");

function labelOf({ columns }: Example): boolean {
  const label = Object.hasOwn(columns, "label") ? columns["label"] : undefined;
  if (positive.includes(label)) return true;
  if (negative.includes(label)) return false;
  throw badRowValue("label", typeof label === "string" ? JSON.stringify(label) : describeValue(label), "true, false, 1, 0, unsafe or safe");
}
