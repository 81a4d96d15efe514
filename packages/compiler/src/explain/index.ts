export { type Alternative, costsOfAlternatives } from "./alternatives.js";
export {
  type ExplainedCollective,
  type ExplainedDim,
  type ExplainedValue,
  type ProgramDifference,
  collectiveGroups,
  diffPrograms,
  drawLayout,
  explainCollectives,
  explainValue,
} from "./explain.js";
