export { type AblationReport, ablationReport } from "./ablation-report.js";
export { planAblation } from "./plan-ablation.js";
