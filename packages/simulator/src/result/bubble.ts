import type { Scope } from "@lapidary/ir";
import { ensure } from "@lapidary/std";

/** The time in which stages of a pipeline have no microbatch. */
interface Bubble {
  /** The mean over the stages. */
  readonly seconds: number;
  /** Empty without stages. */
  readonly byStage: readonly number[];
}

/** A kernel on the timeline of a core, in seconds. */
interface KernelSpan {
  readonly kernel: { readonly scope: Scope };
  readonly from: number;
  readonly to: number;
}

/**
 * The bubble of a pipeline. The time from the end of a kernel to the end of the next one, waits included, belongs to the part of a tick of
 * the next one. A stage is idle in it in as many iterations as the region states.
 *
 * @param kernels in their order on a core
 */
export function bubbleOf({ kernels }: { readonly kernels: readonly KernelSpan[] }): Bubble {
  const byStage: number[] = [];
  let [end, region]: [number, number | undefined] = [0, undefined];
  for (const { kernel, from, to } of kernels) {
    const { region: own, tick } = kernel.scope;
    const begin = own?.id === region ? Math.min(end, from) : from;
    const idle = own === undefined || tick === undefined ? [] : (own.idle?.[tick] ?? []);
    idle.forEach((iterations, stage) => {
      byStage[stage] = (byStage[stage] ?? 0) + ((to - begin) * iterations) / ensure(own, "region").count;
    });
    [end, region] = [to, own?.id];
  }
  return { seconds: byStage.length === 0 ? 0 : byStage.reduce((a, b) => a + b, 0) / byStage.length, byStage };
}
