import type { StepProfile } from "@lapidary/offline/step-profile";
import { counted, textTable } from "@lapidary/std";

/** The text of a profile: the parts of a step, then the longest calls. */
export function stepProfileText({ steps, step_ms, split_ms, calls }: StepProfile): string {
  const share = (ms: number): string => `${((100 * ms) / step_ms).toFixed(1)} %`;
  const rows: [string, number][] = [
    ["matmuls", split_ms.products],
    ["fused kernels", split_ms.fused],
    ["other kernels", split_ms.other_kernels],
    ["messages: packing and unpacking", split_ms.messages],
    ["waiting for other workers", split_ms.waiting],
    ["between calls", split_ms.between_calls],
  ];
  return [
    `  ${counted(steps, "step")} recorded, ${step_ms.toFixed(1)} ms each on a worker`,
    "",
    textTable(
      [{ title: "  part of a step" }, { title: "ms", align: "right" }, { title: "share", align: "right" }],
      rows.map(([what, ms]) => [`  ${what}`, ms.toFixed(2), share(ms)]),
    ),
    "",
    textTable(
      [
        { title: "  longest calls" },
        { title: "pass" },
        { title: "count", align: "right" },
        { title: "ms", align: "right" },
        { title: "share", align: "right" },
      ],
      calls.map(({ name, kind, phase, count, ms }) => [
        `  ${name}${kind === "product" ? "" : kind === "fused" ? " (fused)" : ""}`,
        phase,
        String(count),
        ms.toFixed(2),
        share(ms),
      ]),
    ),
  ].join("\n");
}
