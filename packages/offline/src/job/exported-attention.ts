import type { Warning } from "@lapidary/std";
import type { ResolvedJob } from "@lapidary/training";

/** A warning for a job that asks for flash attention: a flash kernel cannot be exported yet. */
export const exportedAttention = ({ attention }: Pick<ResolvedJob, "attention">): Warning[] =>
  attention === "flash"
    ? [
        {
          code: "LAP_EXPORT_ATTENTION",
          message: "the exported program has plain attention: scores are arrays in HBM",
          place: "attention",
          remedy: "plan with attention=plain to predict this program, or replace attention by a flash kernel in XLA",
        },
      ]
    : [];
