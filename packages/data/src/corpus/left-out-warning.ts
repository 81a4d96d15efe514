import { counted, type Warning } from "@lapidary/std";
import { type CorpusSpec, placeOf } from "./corpus-spec.js";
import { leftOutText } from "./document.js";
import { ruledOut } from "./list-files.js";

/**
 * A warning about what a user's own corpus has and training does not see; undefined where nothing is missed. The log lists everything:
 * a warning for each directory with a `.git` would be read by nobody, and the default corpus chooses among its files.
 */
export function leftOutWarning(corpus: CorpusSpec, leftOut: Readonly<Record<string, number>>): Warning | undefined {
  if (corpus.kind !== "path") return undefined;
  const missed = Object.fromEntries(Object.entries(leftOut).filter(([reason]) => !ruledOut.has(reason)));
  const count = Object.values(missed).reduce((sum, each) => sum + each, 0);
  if (count === 0) return undefined;
  return {
    code: "LAP_DATA_LEFT_OUT",
    message: `${counted(count, "entry", "entries")} of the corpus ${count === 1 ? "is" : "are"} not trained on: ${leftOutText(missed)}`,
    place: placeOf(corpus),
    remedy: "take them out of the corpus, or write their text as UTF-8 or JSON lines",
  };
}
