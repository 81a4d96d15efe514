import type { Program } from "@lapidary/compiler";
import { globalModule, jaxVersion, libtpuVersion, perDeviceModule, shardingConstraints } from "@lapidary/interop";
import type { Simulation } from "@lapidary/simulator";
import { LabelList } from "./labels.js";
import { type PlanColumns, planColumns } from "./plan-columns.js";
import { shallowPrograms } from "./depths.js";

/** The form of a module: `whole`, the global module, which XLA partitions; or `chip`, the per-device module of Lapidary. */
export type ModuleForm = "whole" | "chip";

/** A step to compile. */
export interface CompileSubject {
  readonly job: string;
  /** Extent of each slice, `16x16`. */
  readonly slice: string;
  readonly slices: number;
  readonly layers: number;
  readonly numerics: "f32" | "mxu";
  readonly program: Program;
  /** The plans by chip, in which results of the compiler are compared. */
  readonly simulations: ReadonlyMap<string, Simulation>;
  /** Compiles the same step with another number of layers. */
  readonly programAt: (layers: number) => Program;
}

/** A module, and the labels of its locations as indices into `labels`. */
interface BundleModule {
  readonly layers: number;
  readonly file: string;
  readonly values: readonly number[];
  readonly arguments: Readonly<Record<string, number>>;
}

/** `compile/plan.json`. `lapidary_xla/tpu_command.py` reads it. */
interface Bundle {
  readonly job: string;
  readonly slice: string;
  readonly slices: number;
  readonly layers: number;
  readonly packages: Readonly<Record<string, string>>;
  readonly labels: LabelList["labels"];
  /** By ascending number of layers; the last module has all. */
  readonly modules: Readonly<Record<ModuleForm, readonly BundleModule[]>>;
  readonly plans: Readonly<Record<string, PlanColumns>>;
}

/**
 * The files that the TPU compiler reads, by path in the directory of an export: `compile/plan.json`, modules for small numbers of layers, and
 * `whole.mlir` and `chip.mlir`, which an export already has.
 */
export function compileFiles(subject: CompileSubject): ReadonlyMap<string, string> {
  const { program, layers, numerics } = subject;
  const labels = new LabelList();
  const files = new Map<string, string>();
  const modules: Record<ModuleForm, BundleModule[]> = { whole: [], chip: [] };
  const add = (depth: number, of: Program, prefix: string, suffix: string): void => {
    const { global, chip } = of;
    const whole = `${prefix}whole${suffix}.mlir`;
    const perDevice = `${prefix}chip${suffix}.mlir`;
    files.set(whole, globalModule(global, shardingConstraints(of.propagated), { numerics }));
    files.set(perDevice, perDeviceModule(chip, global, { numerics }));
    modules.whole.push({ layers: depth, file: whole, ...labels.ofGraph(global) });
    modules.chip.push({ layers: depth, file: perDevice, ...labels.ofGraph(chip) });
  };
  for (const shallow of shallowPrograms(program, layers, subject.programAt))
    add(shallow.layers, shallow.program, "compile/", `-${shallow.layers}`);
  add(layers, program, "", "");
  const bundle: Bundle = {
    job: subject.job,
    slice: subject.slice,
    slices: subject.slices,
    layers,
    packages: { jax: jaxVersion, jaxlib: jaxVersion, libtpu: libtpuVersion },
    labels: labels.labels,
    modules,
    plans: Object.fromEntries([...subject.simulations].map(([chip, simulation]) => [chip, planColumns(simulation)])),
  };
  return files.set("compile/plan.json", JSON.stringify(bundle));
}
