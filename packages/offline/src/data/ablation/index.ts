export { type AblationReport, ablationReport } from "./ablation-report.js";
export { type PlannedAblation, planAblation } from "./plan-ablation.js";
