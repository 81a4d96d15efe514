import { counted, LapidaryError } from "@lapidary/std";
import type { MixtureStream } from "./stream.js";

/**
 * Checks before a run that no source is read more often than it may be.
 *
 * @param repeatOf how often a source may be read
 * @throws LapidaryError LAP_MIXTURE_EXHAUSTED
 */
export function checkRepeats(stream: MixtureStream, steps: number, repeatOf: (source: string) => number): void {
  const rows = stream.rowsBefore(steps);
  for (const [i, { name, sequences }] of stream.sources.entries()) {
    const [needed, repeat] = [rows[i] ?? 0, repeatOf(name)];
    if (needed <= sequences * repeat) continue;
    const passes = Math.ceil(needed / sequences);
    throw new LapidaryError({
      code: "LAP_MIXTURE_EXHAUSTED",
      message: `${counted(steps, "step")} read ${counted(needed, "row")} of ${name}, which has ${counted(sequences, "row")} and is read ${repeat === 1 ? "once" : `${repeat} times`}`,
      location: `data.mixture: ${name}`,
      remedy: `lower the weight of ${name} or train.steps, add documents, or allow it to be read ${passes} times with \`data.repeat: { ${name}: ${passes} }\``,
    });
  }
}
