import { type Graph, verifyGraph } from "@lapidary/ir";
import { type OptimizeOptions, optimize } from "./optimize/index.js";
import { type PartitionOptions, checkProgram, partition } from "./partition/index.js";
import { type MemoryPlan, planMemory, verifyMemory } from "./memory/index.js";
import { schedule, verifySchedule } from "./schedule/index.js";
import type { Program } from "./program.js";
import { type RematPolicy, rematerialize } from "./rematerialize/index.js";
import { type PropagateOptions, propagate } from "./propagate/index.js";

export type StageName = "trace" | "rematerialize" | "propagate" | "partition" | "optimize";

export interface CompileOptions extends PropagateOptions, Partial<PartitionOptions>, Partial<OptimizeOptions> {
  /** What the backward pass computes again instead of keeping it. */
  readonly remat?: RematPolicy;
  /** How many blocks ahead the gathers of params are issued. */
  readonly prefetchBlocks?: number;
  /** Checks the result of every stage. True by default. */
  readonly verify?: boolean;
  /** Receives the result of each stage, which `--stage` prints. */
  readonly report?: (stage: StageName, graph: Graph) => void;
}

/** Compiles a traced step to the program that every chip of a mesh runs. Each stage is a pure function with a checked result. */
export function compile(graph: Graph, options: CompileOptions): Program {
  const { mesh } = options;
  const report = options.report ?? ((): void => undefined);
  const verify = options.verify ?? true;
  report("trace", graph);
  if (verify) verifyGraph(graph);

  const rematerialized = rematerialize(graph, options.remat ?? "none"); // the backward pass recomputes forward values
  if (verify) verifyGraph(rematerialized);
  report("rematerialize", rematerialized);

  const propagated = propagate(rematerialized, options); // a sharding for every value, with its cause
  report("propagate", propagated.graph);

  const perChip = partition(propagated, mesh, options); // local shapes, explicit collectives
  if (verify) checkProgram(perChip);
  report("partition", perChip);

  const lean = optimize(perChip, options); // equal values merged, dead values removed, small collectives bucketed
  if (verify) checkProgram(lean);
  report("optimize", lean);

  const ordered = schedule(lean, { prefetchBlocks: options.prefetchBlocks ?? 1 }); // collectives start early and finish before their first use
  if (verify) verifySchedule(lean, ordered);

  let planned: MemoryPlan | undefined;
  const memory = (): MemoryPlan => (planned ??= planMemory(lean, ordered)); // lifetimes, offsets, peak bytes a chip
  if (verify) verifyMemory(memory(), ordered.order.length);

  return {
    name: graph.name,
    mesh,
    global: propagated.graph,
    chip: lean,
    schedule: ordered,
    get memory(): MemoryPlan {
      return memory();
    },
    remat: options.remat ?? "none",
    propagated,
  };
}
