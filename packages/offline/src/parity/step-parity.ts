import { join } from "node:path";
import { type CollectiveSummary, summarizeCollectives } from "@lapidary/compiler";
import { sizeOf } from "@lapidary/ir";
import { type ArrayData, arrayOf, emptyNumbers } from "@lapidary/protocol";
import { runProgramOnce } from "@lapidary/cluster";
import { counted, ensure, LapidaryError, type Warning } from "@lapidary/std";
import { makeWorkerGrid, meshSize, parseMesh, printMesh } from "@lapidary/topology";
import { openSession } from "@lapidary/trainer";
import { type CompiledImport, compileImported, StepArrays } from "@lapidary/trainer/imported";
import { availableParallelism } from "node:os";
import type { Reporter } from "../reporter.js";
import type { ParityOptions } from "./parity-plan.js";
import type { ParityEnvironment } from "./parity-session.js";
import { checkSameStep, readStepBundle, type StepManifest } from "./step-bundle.js";

/** The distance of a result from that of JAX, relative to the largest element of the result. */
interface StepResultDeviation {
  readonly name: string;
  readonly deviation: number;
  readonly tolerance: number;
  readonly ok: boolean;
}

/** The fields that `lapidary parity --json` prints for an exported step. */
export interface StepParityResult {
  readonly ok: boolean;
  readonly chips: number;
  readonly workers: number;
  readonly mesh: string;
  readonly steps: number;
  readonly results: readonly StepResultDeviation[];
  readonly collectives: readonly Omit<CollectiveSummary, "why">[];
}

export interface StepParityOutcome {
  readonly kind: "step";
  readonly result: StepParityResult;
  readonly warnings: readonly Warning[];
}

/** Runs an exported step on a worker group of its own, as often as the bundle says, and compares the results of the last run with those of JAX. */
export async function compareStep(
  options: ParityOptions,
  { env, signal }: ParityEnvironment,
  reporter: Reporter,
): Promise<StepParityOutcome> {
  checkOptions(options);
  const { directory } = options;
  const { text, file, manifest } = readStepBundle(directory);
  const axes =
    options.mesh === undefined ? {} : { mesh: Object.fromEntries(parseMesh(options.mesh).axes.map(({ name, size }) => [name, size])) };
  const compiled = compileImported(text, file, axes);
  checkSameStep(directory, compiled.step, manifest);
  const { mesh, program } = compiled;
  const executor = options.executor === "chipwise" ? "chipwise" : "stacked";
  const wanted = executor === "chipwise" ? 1 : (options.workers ?? availableParallelism());
  const { workers } = makeWorkerGrid(mesh, wanted);
  reporter.progress(`start ${counted(workers, "worker")}`);
  const arrays = await StepArrays.open(join(directory, "data.safetensors"));
  try {
    const session = await openSession({
      mesh,
      workers,
      executor,
      numerics: options.numerics === "mxu" ? "mxu" : "f32",
      rules: {},
      zero: 0,
      environment: env,
      log: (worker, line) => reporter.detail(`${worker}: ${line}`),
    });
    try {
      const run = (inputs: ReadonlyMap<string, ArrayData>): Promise<ReadonlyMap<string, ArrayData>> => {
        signal.throwIfAborted();
        return runProgramOnce(session.group, program, inputs);
      };
      const results = await deviations(compiled, manifest, arrays, run, reporter);
      const collectives = summarizeCollectives(program.chip).map(({ op, axis, count, bytes_per_chip }) => ({
        op,
        axis,
        count,
        bytes_per_chip,
      }));
      const about = { chips: meshSize(mesh), workers: session.workers, mesh: printMesh(mesh), steps: manifest.steps };
      return { kind: "step", result: { ok: results.every(({ ok }) => ok), ...about, results, collectives }, warnings: [] };
    } finally {
      await session.close();
    }
  } finally {
    await arrays.close();
  }
}

/** Options that change the program of a job. The text of a step states these things itself. */
function checkOptions({ zero, torus, lossChunks, part }: ParityOptions): void {
  const given = Object.entries({ "--zero": zero, "--torus": torus, "--loss-chunks": lossChunks, "--part": part }).find(
    ([, value]) => value !== undefined,
  );
  if (given !== undefined)
    throw new LapidaryError({
      code: "LAP_PARITY_OPTION",
      message: "the text of an exported step states its mesh and its shardings",
      location: given[0],
      remedy: `omit ${given[0]}`,
    });
}

/** Runs the steps of the bundle. Results replace the arguments that they renew. */
async function deviations(
  { step }: CompiledImport,
  manifest: StepManifest,
  arrays: StepArrays,
  run: (inputs: ReadonlyMap<string, ArrayData>) => Promise<ReadonlyMap<string, ArrayData>>,
  reporter: Reporter,
): Promise<StepResultDeviation[]> {
  const state = await Promise.all(
    step.arguments.map(async (argument, i) => (await arrays.initial(argument, i)) ?? filled(argument.type, manifest.arguments[i]?.begins)),
  );
  let outputs: ReadonlyMap<string, ArrayData> = new Map();
  for (let s = 0; s < manifest.steps; s++) {
    reporter.progress("run", `step ${s + 1}/${manifest.steps}`);
    const inputs = new Map<string, ArrayData>();
    for (const [i, argument] of step.arguments.entries())
      inputs.set(argument.name, (await arrays.batch(s, argument, i)) ?? ensure(state[i], argument.name));
    outputs = await run(inputs);
    manifest.results.forEach(({ next }, i) => {
      const result = step.results[i];
      if (next !== undefined && next !== null && result !== undefined) state[next] = ensure(outputs.get(result.name), result.name);
    });
  }
  return Promise.all(
    step.results.map(async ({ name, type }, i) => {
      const about = ensure(manifest.results[i], "result");
      const want = await arrays.expected(i, type.dtype, type.dims);
      if (want === undefined)
        throw new LapidaryError({
          code: "LAP_PARITY_BUNDLE",
          message: `the result ${about.name} is missing`,
          location: `${arrays.path}: tensor "out/${i}"`,
        });
      const deviation = distance(want.data, ensure(outputs.get(name), name).data);
      const tolerance = Math.max(1e-6, 10 * Math.max(about.noise, about.sensitivity));
      // A deviation that is NaN is not within the tolerance.
      return { name: about.name, deviation, tolerance, ok: deviation <= tolerance };
    }),
  );
}

/** Largest difference of two arrays, relative to the largest element of the first. */
function distance(want: ArrayLike<number>, got: ArrayLike<number>): number {
  const values = Array.from(want);
  const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
  return values.reduce((most, x, k) => Math.max(most, Math.abs(x - ensure(got[k], "element"))), 0) / largest;
}

const filled = ({ dtype, dims }: Pick<ArrayData, "dtype" | "dims">, begins: string | undefined): ArrayData =>
  arrayOf(dtype, dims, emptyNumbers(dtype, sizeOf(dims)).fill(begins === "ones" ? 1 : 0));
