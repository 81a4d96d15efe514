import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: evaluation of post-trained models and checkers of answers. */
export const evaluationErrors = {
  LAP_EVALUATION_EMPTY: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "An evaluation has no rows to count.",
    remedy: "evaluate at least one row",
  },
  LAP_EVALUATION_SETTING: { exit: ExitCode.usage, recoverable: false, summary: "A setting of an evaluation is out of range." },
  LAP_JUDGE_NAN: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The judge gives no usable log-probability for its three verdicts.",
    remedy: "use another checkpoint of the judge, or check that A, B and C are tokens of its vocabulary",
  },
  LAP_JUDGE_TEMPLATE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The template of a judge lacks a placeholder, or has an unknown one.",
  },
  LAP_JUDGE_TOKENS: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A, B and C are not three tokens of the vocabulary of the judge.",
    remedy: "name another model as the judge",
  },
  LAP_COMPARE_ID: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "Two prompts of a comparison of models have the same id.",
    remedy: "give every row another `id`, or remove the key",
  },
  LAP_COMPARE_NONE: { exit: ExitCode.usage, recoverable: false, summary: "A comparison of models has no usable row." },
  LAP_VERDICT_ROW: { exit: ExitCode.usage, recoverable: false, summary: "A row of a file of verdicts is invalid." },
  LAP_RATINGS_UNBOUNDED: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "The games between models do not determine finite ratings.",
  },
  LAP_CHECKER_SETTING: { exit: ExitCode.usage, recoverable: false, summary: "The settings of a checker are invalid." },
  LAP_CHECKER_ROW: { exit: ExitCode.usage, recoverable: false, summary: "A row lacks what its checker needs." },
  LAP_CHECKER_MODULE: { exit: ExitCode.usage, recoverable: false, summary: "The module of a checker cannot be loaded." },
  LAP_CHECKER_FAILED: { exit: ExitCode.other, recoverable: false, summary: "The module of a checker failed or returned no score." },
  LAP_CHECKER_TIMEOUT: { exit: ExitCode.other, recoverable: false, summary: "A checker took longer than its time limit." },
} as const satisfies ErrorTable;
