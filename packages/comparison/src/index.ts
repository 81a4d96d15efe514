export { type ModelHost, readAnswerModel } from "./answer-model.js";
export { type ComparedModels, compareModels } from "./compare-models.js";
export { defaultTemplate, readJudgeTemplate } from "./judge-template.js";
export { readVotes } from "./verdict-file.js";
export type { VerdictSource } from "./verdicts.js";
export { compareOnPod } from "./job/compare-on-pod.js";
export { modelComparisonText } from "./model-comparison-text.js";
export { ownWorkers } from "./answer-model.js";
