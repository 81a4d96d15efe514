import type { Program } from "@lapidary/compiler";
import { globalModule, jaxVersion, libtpuVersion, perDeviceModule, shardingConstraints } from "@lapidary/interop";
import type { Simulation } from "@lapidary/simulator";
import { LabelList } from "./labels.js";
import { type PlanColumns, planColumns } from "./plan-columns.js";

/** The form of a module: `whole`, the global module, which XLA partitions; or `chip`, the per-device module of Lapidary. */
export type ModuleForm = "whole" | "chip";

/** A step to compile. */
export interface CompileSubject {
  readonly job: string;
  /** Extent of each slice, `16x16`. */
  readonly slice: string;
  readonly slices: number;
  readonly numerics: "f32" | "mxu";
  readonly program: Program;
  /** The plans by chip, in which results of the compiler are compared. */
  readonly simulations: ReadonlyMap<string, Simulation>;
}

/** A module, and the labels of its locations as indices into `labels`. */
interface BundleModule {
  readonly file: string;
  readonly values: readonly number[];
  readonly arguments: Readonly<Record<string, number>>;
}

/** `compile/plan.json`. `lapidary_xla/tpu_command.py` reads it. */
interface Bundle {
  readonly job: string;
  readonly slice: string;
  readonly slices: number;
  readonly packages: Readonly<Record<string, string>>;
  readonly labels: LabelList["labels"];
  readonly modules: Readonly<Record<ModuleForm, BundleModule>>;
  readonly plans: Readonly<Record<string, PlanColumns>>;
}

/**
 * The files that the TPU compiler reads, by path in the directory of an export: `compile/plan.json`, and `whole.mlir` and `chip.mlir`, which an export
 * already has.
 */
export function compileFiles({ program, numerics, ...subject }: CompileSubject): ReadonlyMap<string, string> {
  const { global, chip, propagated } = program;
  const labels = new LabelList();
  const bundle: Bundle = {
    job: subject.job,
    slice: subject.slice,
    slices: subject.slices,
    packages: { jax: jaxVersion, jaxlib: jaxVersion, libtpu: libtpuVersion },
    modules: {
      whole: { file: "whole.mlir", ...labels.ofGraph(global) },
      chip: { file: "chip.mlir", ...labels.ofGraph(chip) },
    },
    labels: labels.labels,
    plans: Object.fromEntries([...subject.simulations].map(([name, simulation]) => [name, planColumns(simulation)])),
  };
  return new Map([
    [bundle.modules.whole.file, globalModule(global, shardingConstraints(propagated), { numerics })],
    [bundle.modules.chip.file, perDeviceModule(chip, global, { numerics })],
    ["compile/plan.json", JSON.stringify(bundle)],
  ]);
}
