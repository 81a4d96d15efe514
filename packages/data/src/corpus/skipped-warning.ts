import { counted, type Warning } from "@lapidary/std";
import { type CorpusSpec, corpusPath } from "./corpus-spec.js";
import { skippedText } from "./document.js";
import { expectedReasons } from "./list-files.js";

/**
 * A warning about files of a user's corpus that training skips unexpectedly, or undefined. Expected reasons, such as a `.git` directory, are only
 * in the log. The default corpus has no warning, because it selects files.
 */
export function skippedWarning(corpus: CorpusSpec, skipped: Readonly<Record<string, number>>): Warning | undefined {
  if (corpus.kind !== "path") return undefined;
  const unexpected = Object.fromEntries(Object.entries(skipped).filter(([reason]) => !expectedReasons.has(reason)));
  const count = Object.values(unexpected).reduce((sum, each) => sum + each, 0);
  if (count === 0) return undefined;
  return {
    code: "LAP_DATA_LEFT_OUT",
    message: `${counted(count, "entry", "entries")} of the corpus ${count === 1 ? "is" : "are"} skipped: ${skippedText(unexpected)}`,
    place: corpusPath(corpus),
    remedy: "remove them from the corpus, or write their text as UTF-8 or JSON lines",
  };
}
