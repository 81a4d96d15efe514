import type { Reporter } from "../reporter.js";

/** A reporter that collects the phases and warnings that a function reports. */
export function collectingReporter(): { readonly reporter: Reporter; readonly phases: string[]; readonly warnings: string[] } {
  const phases: string[] = [];
  const warnings: string[] = [];
  return {
    reporter: {
      progress: (phase) => {
        if (phases.at(-1) !== phase) phases.push(phase);
      },
      say: () => undefined,
      detail: () => undefined,
      warn: (warning) => warnings.push(typeof warning === "string" ? warning : warning.code),
    },
    phases,
    warnings,
  };
}
