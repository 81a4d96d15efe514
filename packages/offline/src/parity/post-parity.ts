import { relative } from "node:path";
import {
  type PostCheck,
  type PostPart,
  isPostPart,
  postParts,
  readPostBundle,
  commonRows,
  runPostParity,
  shortestRow,
} from "@lapidary/post-training";
import { LapidaryError, suggest, type Warning } from "@lapidary/std";
import { meshSize, printMesh, printTorus } from "@lapidary/topology";
import type { Reporter } from "../reporter.js";
import { parityForm } from "./parity-form.js";
import { type ParityOptions, type ParityPlan, checkChunks, checkMicrobatches } from "./parity-plan.js";
import { type ParityEnvironment, withParitySession } from "./parity-session.js";

/** The fields that `lapidary parity --json` prints for a bundle of post-training. */
export interface PostParityResult {
  readonly ok: boolean;
  readonly chips: number;
  readonly workers: number;
  readonly mesh: string;
  /** The parts that were compared. */
  readonly parts: readonly PostPart[];
  readonly checks: readonly PostCheck[];
}

export interface PostParityOutcome {
  readonly kind: "post-training";
  readonly result: PostParityResult;
  readonly warnings: readonly Warning[];
}

/** Runs the programs of post-training on the inputs of a bundle, and compares the results with those of TRL, PEFT and transformers. */
export async function comparePostTraining(
  options: ParityOptions,
  plan: ParityPlan,
  environment: ParityEnvironment,
  reporter: Reporter,
): Promise<PostParityOutcome> {
  const { directory } = options;
  if (plan.numerics === "mxu") throw numericsError();
  const parts = partsOf(options.part);
  const bundle = await readPostBundle(directory);
  bundle.warnings.forEach(reporter.warn);
  checkChunks(plan, shortestRow(bundle));
  checkMicrobatches(plan, commonRows(bundle));
  reporter.detail(
    `${relative(environment.cwd, directory) || directory}: torus ${printTorus(plan.torus)}, ${plan.numerics}, ${plan.executor}`,
  );
  const other = options.overrides.find((override) => !override.startsWith("rules"));
  if (other !== undefined) throw partOptionError(`programs of post-training do not use ${other}`, "use overrides of rules only");
  const shape = { batch: meshSize(plan.mesh), seq: bundle.config.contextLength };
  const places = { configsDir: environment.configsDir, base: environment.cwd };
  const form = parityForm(plan, bundle.config, shape, options, places);
  return withParitySession(plan, form, environment, reporter, async (session) => {
    let current = "";
    const checks = await runPostParity(
      { ...bundle, chunks: form.chunks, microbatches: plan.microbatches },
      {
        run: (name, graph, inputs) => {
          reporter.progress(current, name);
          return session.run(name, graph, inputs);
        },
      },
      {
        parts,
        onPart: (part) => {
          current = `${part}, part ${parts.indexOf(part) + 1} of ${parts.length}`;
          reporter.progress(current);
        },
      },
    );
    const ok = checks.every((check) => check.ok);
    const result = { ok, chips: meshSize(plan.mesh), workers: session.workers, mesh: printMesh(plan.mesh), parts, checks };
    return { kind: "post-training" as const, result, warnings: bundle.warnings };
  });
}

/** The parts of `--part`, in the order in which they run. */
export function partsOf(text: string | undefined): readonly PostPart[] {
  if (text === undefined) return postParts;
  const names = text.split(",").map((name) => name.trim());
  for (const name of names) {
    if (isPostPart(name)) continue;
    const near = suggest(name, postParts);
    const remedy = `${near === undefined ? "name" : `did you mean ${near}? Name`} some of ${postParts.join(", ")}, separated by commas`;
    throw partOptionError(`a bundle of post-training has no part ${JSON.stringify(name)}`, remedy);
  }
  return postParts.filter((part) => names.includes(part));
}

export const partOptionError = (message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_PARITY_OPTION", message, location: "--part", remedy });

/**
 * Matmuls of bf16 inputs have relative errors of up to 2⁻⁸. A loss then differs by about 0.01, a greedy token can be another one, and a ratio can cross
 * the limit of its clip. The values that known mistakes give differ from the right ones by as little as 0.002. No tolerance separates the two.
 */
const numericsError = (): LapidaryError =>
  new LapidaryError({
    code: "LAP_PARITY_OPTION",
    message: "a bundle of post-training cannot be compared with the numerics mxu: its errors exceed the effect of the known mistakes",
    location: "--numerics",
    remedy: "use --numerics f32, or compare a bundle of pretraining, such as e2e/golden/mha",
  });
