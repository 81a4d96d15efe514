import { percent, type PlanReport } from "@lapidary/offline/plan";
import type { Paint } from "./paint.js";

type Fit = Pick<PlanReport, "hbm_limit" | "hbm_error" | "fits"> & { readonly hbm_bytes: Pick<PlanReport["hbm_bytes"], "peak"> };

/** Whether the step fits. Near the limit, the plan is not sure enough, and the TPU compiler decides. */
export function fitText({ hbm_bytes, hbm_limit, hbm_error, fits }: Fit, paint: Paint): string {
  if (!fits) return paint.red("does not fit");
  if (hbm_error === null) return paint.green("fits");
  const share = `${percent(hbm_error)} of what the TPU compiler needs`;
  if (hbm_bytes.peak <= hbm_limit * (1 - hbm_error)) return `${paint.green("fits")}, within ${share}`;
  return `${paint.yellow("may not fit")}: the plan is within ${share}. \`lapidary compile --memory\` decides`;
}
