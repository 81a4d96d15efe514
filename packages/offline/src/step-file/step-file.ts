import { resolve } from "node:path";
import { type ExplainedCollective, explainCollectives, type Program, type WeightShards, weightShards } from "@lapidary/compiler";
import { calibrationWarning, type Machine, type PlanReport, planReport, type Simulation, simulate } from "@lapidary/simulator";
import type { GivenShardings, ImportedStep } from "@lapidary/stablehlo";
import { LapidaryError, type Warning } from "@lapidary/std";
import { chipCount, type Mesh, meshSize, parseTorus, printMesh } from "@lapidary/topology";
import { compileImported, readStepText } from "@lapidary/trainer/imported";
import { parseShard, squarest, stepName } from "@lapidary/training/job";
import { machineOf } from "@lapidary/trainer/recipes";

/** What the words after the file decide: `mesh.data=8`, `shard.NAME=data,-`, `slice=2x4`, `pods=2`, `numerics=f32`. */
interface StepOptions {
  readonly mesh: Readonly<Record<string, number>>;
  readonly shardings: ReadonlyMap<string, readonly (readonly string[])[]>;
  readonly slice?: string;
  readonly pods?: number;
  readonly numerics: "f32" | "mxu";
}

/** A step of a user, compiled for its mesh. */
export interface StepFile {
  readonly name: string;
  readonly file: string;
  readonly step: ImportedStep;
  readonly mesh: Mesh;
  readonly chips: number;
  /** The mesh as the command line writes it. */
  readonly meshText: string;
  readonly options: StepOptions;
  readonly program: Program;
  readonly given: GivenShardings;
  readonly warnings: readonly Warning[];
}

/** Reads, converts and compiles the text of a step. */
export function compileStepFile(path: string, cwd: string, words: readonly string[]): StepFile {
  const file = resolve(cwd, path);
  const options = readOptions(words);
  const { step, mesh, given, program } = compileImported(readStepText(file, path), path, options);
  const about = { name: stepName(path), file, chips: meshSize(mesh), meshText: printMesh(mesh) };
  return { ...about, step, mesh, options, program, given, warnings: freeWarnings(step, mesh, given) };
}

/** Arguments without a stated sharding, if there are several chips. */
function freeWarnings(step: ImportedStep, mesh: Mesh, { free }: GivenShardings): Warning[] {
  if (meshSize(mesh) === 1 || free.length === 0) return [];
  const all = free.length === step.arguments.length;
  return [
    {
      code: "LAP_IMPORT_FREE",
      message: `${all ? "no argument has" : `${free.length} of ${step.arguments.length} arguments have no`} sharding${all ? "" : "s"}; the compiler chooses: ${free.slice(0, 4).join(", ")}${free.length > 4 ? ", …" : ""}`,
      remedy: `state shardings in JAX, or here: shard.${free[0] ?? "NAME"}=AXIS,-`,
    },
  ];
}

function readOptions(words: readonly string[]): StepOptions {
  const mesh: Record<string, number> = {};
  const shardings = new Map<string, readonly (readonly string[])[]>();
  const found: { slice?: string; pods?: number; numerics?: "f32" | "mxu" } = {};
  for (const word of words) {
    const equals = word.indexOf("=");
    const [key, value] = [word.slice(0, Math.max(0, equals)), word.slice(equals + 1)];
    if (key.startsWith("mesh.") && /^\d+$/.test(value)) mesh[key.slice("mesh.".length)] = Number(value);
    else if (key.startsWith("shard.")) shardings.set(key.slice("shard.".length), parseShard(value));
    else if (key === "slice") found.slice = value;
    else if (key === "pods" && /^[1-9]\d{0,4}$/.test(value)) found.pods = Number(value);
    else if (key === "numerics" && (value === "f32" || value === "mxu")) found.numerics = value;
    else
      throw new LapidaryError({
        code: "LAP_CONFIG_OVERRIDE",
        message: `"${word}" is not an option of a step`,
        location: "the command line",
        remedy: "options are mesh.AXIS=N, shard.NAME=AXIS,-, slice=ROWSxCOLUMNS, pods=N and numerics=f32 or mxu",
      });
  }
  return { mesh, shardings, numerics: "mxu", ...found };
}

/** The machine of a step: whole pods of v5e if its mesh needs more than one, otherwise the squarest slice with its number of chips. */
export function machineOfStep({ mesh, options }: StepFile, root: string, chip: string): Machine {
  const chips = meshSize(mesh);
  const pods = options.pods ?? Math.max(1, Math.ceil(chips / chipsOfPod));
  const slice = options.slice ?? squarest(Math.max(1, Math.floor(chips / pods)));
  if (chipCount(parseTorus(slice)) * pods !== chips)
    throw new LapidaryError({
      code: "LAP_MESH_DOES_NOT_FILL",
      message: `the mesh has ${chips} chips, and ${pods === 1 ? "" : `${pods} pods of `}${slice} have ${chipCount(parseTorus(slice)) * pods}`,
      location: "slice",
      remedy: "give pods=N and slice=ROWSxCOLUMNS whose product is the size of the mesh",
    });
  return machineOf({ pod: { chip }, pods, slice }, root);
}

/** Chips of a whole v5e pod. */
const chipsOfPod = 256;

export interface StepFilePlan {
  readonly report: PlanReport;
  readonly shards: readonly WeightShards[];
  readonly warnings: readonly Warning[];
}

/** Times the step as XLA compiles its text: with the attention and the types that the text states. */
export const simulateStepFile = ({ program, options }: StepFile, machine: Machine): Simulation =>
  simulate(program, machine, { compute: options.numerics === "mxu" ? "bf16" : "f32", attention: "plain", sentType: "stated" });

/** Times the step on a model of the chips, and adds up the memory of a chip. */
export function planStepFile(subject: StepFile, root: string, chip = "v5e"): StepFilePlan {
  const machine = machineOfStep(subject, root, chip);
  const simulation = simulateStepFile(subject, machine);
  const uncalibrated = calibrationWarning(machine.chip);
  return {
    report: planReport(simulation),
    shards: weightShards(subject.program.chip, subject.program.global),
    warnings: uncalibrated === undefined ? subject.warnings : [...subject.warnings, uncalibrated],
  };
}

export interface ExplainedStepFile {
  readonly collectives: readonly ExplainedCollective[];
  readonly conflicts: number;
}

/** The collectives of the step with their causes and the lines of the user's program. */
export const explainStepFile = ({ program }: StepFile): ExplainedStepFile => ({
  collectives: explainCollectives(program),
  conflicts: program.propagated.conflicts.length,
});
