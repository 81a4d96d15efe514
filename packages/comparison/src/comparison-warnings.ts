import { counted, type Warning } from "@lapidary/std";
import type { ModelIdentity } from "./answer-model.js";
import type { SetReport, WinReport } from "@lapidary/api";
import type { VerdictSource } from "./verdicts.js";

/** Above this share of wins of the longer answer, length may decide instead of quality. */
const maxLongerShare = 0.6;
const maxContradictionShare = 0.2;
/** Below this probability of A, B and C together, the judge does not follow its template. */
const minMass = 0.5;
/** Shares of fewer prompts vary too much for a warning. */
const minPrompts = 10;

/** The findings about the models alone. */
export function modelWarnings(candidate: ModelIdentity, baseline: ModelIdentity, source: VerdictSource): readonly Warning[] {
  const warnings: Warning[] = [];
  if (source.kind === "judge" && isSameFamily(source.model, candidate))
    warnings.push({
      code: "LAP_JUDGE_FAMILY",
      message: `the judge ${source.model.name} has the architecture and the vocabulary of the candidate${isSameFamily(source.model, baseline) ? " and of the baseline" : ""}: a judge prefers answers like its own`,
      place: source.model.directory,
      remedy: "confirm the result with another judge, a checker or verdicts of people",
    });
  return warnings;
}

const isSameFamily = (a: ModelIdentity, b: ModelIdentity): boolean => a.architecture === b.architecture && a.vocabulary === b.vocabulary;

/** The findings about the results of one file. */
export function setWarnings(
  { data, result, refused, loss, prompts, unjudged, unjudged_reason }: SetReport,
  { candidate, baseline, source }: { readonly candidate: ModelIdentity; readonly baseline: ModelIdentity; readonly source: VerdictSource },
): readonly Warning[] {
  const warnings: Warning[] = [];
  const [first] = refused;
  if (first !== undefined)
    warnings.push({
      code: "LAP_COMPARE_REFUSED",
      message: `${counted(refused.length, "row")} of ${data} cannot be used; row ${first.row}: ${first.reason}`,
      place: data,
      remedy: first.remedy,
    });
  if (unjudged > 0)
    warnings.push({
      code: "LAP_COMPARE_UNJUDGED",
      message: `${unjudged} of ${counted(prompts, "prompt")} of ${data} have no verdict${unjudged_reason === null ? "" : `: ${unjudged_reason}`}`,
      place: data,
      remedy:
        source.kind === "judge"
          ? "use a judge with a longer context, a shorter template or fewer --max-tokens"
          : "add the missing verdicts",
    });
  if (loss !== null && candidate.vocabulary !== baseline.vocabulary)
    warnings.push({
      code: "LAP_COMPARE_VOCABULARY",
      message: "the two models have different vocabularies, so their losses per token cannot be compared",
      place: data,
      remedy: "compare the answers, or models with the same tokenizer",
    });
  return [...warnings, ...(result === null || result.n < minPrompts ? [] : verdictWarnings(data, result, source))];
}

function verdictWarnings(data: string, result: WinReport, source: VerdictSource): readonly Warning[] {
  const warnings: Warning[] = [];
  const { wins, losses, longer_share: longer, contradiction_share: contradictions, mean_mass: mass } = result;
  // A checker knows the right answer, so it cannot prefer length.
  if (source.kind !== "checker" && wins + losses >= minPrompts && longer > maxLongerShare)
    warnings.push({
      code: "LAP_JUDGE_LENGTH",
      message: `the longer answer wins in ${percent(longer)} of the decided prompts whose answers differ in length`,
      place: data,
      remedy: "compare the mean lengths of the answers, and tell the judge in its template that length does not count",
    });
  if (contradictions !== null && contradictions > maxContradictionShare)
    warnings.push({
      code: "LAP_JUDGE_CONTRADICTS",
      message: `the judge prefers the same position in both orders for ${percent(contradictions)} of the prompts, which count as ties`,
      place: data,
      remedy: "use a stronger judge, or another template",
    });
  if (mass !== null && mass < minMass)
    warnings.push({
      code: "LAP_JUDGE_MASS",
      message: `the judge gives A, B and C together a mean probability of ${percent(mass)}`,
      place: data,
      remedy: "end the template with a question that one letter answers, or use another judge",
    });
  return warnings;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
