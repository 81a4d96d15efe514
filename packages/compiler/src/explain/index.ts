export { type Alternative, costsOfAlternatives } from "./alternatives.js";
export {
  type ExplainedCollective,
  type ExplainedValue,
  type ProgramDifference,
  collectiveGroups,
  diffPrograms,
  explainCollectives,
  explainValue,
} from "./explain.js";
export { type ExplainedStage, explainStages } from "./stages.js";
