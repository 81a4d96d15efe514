export { ablationReport, confirmedReport } from "./ablation-report.js";
export { writeAblationPage } from "../card-page.js";
export { planAblation } from "./plan-ablation.js";
