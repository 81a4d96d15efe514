import type { ComparisonReporter } from "../reporter.js";

/** A reporter that collects the codes of warnings. */
export function collectingReporter(): { readonly reporter: ComparisonReporter; readonly warnings: string[] } {
  const warnings: string[] = [];
  return { reporter: { progress: () => undefined, warn: ({ code }) => warnings.push(code) }, warnings };
}
