import { type Mesh } from "@lapidary/topology";
import { scheduleSchema } from "../optimizer/optimizer-config.js";
import { initDirectory, type InitNames } from "./init-checkpoint.js";
import { compareDefaults, type JobFile, type JudgeFile } from "./job-schema.js";

/** A path of the file or of an override at `keys`, as an absolute path. */
type AbsolutePath = (path: string, ...keys: string[]) => string;

/** The settings of a comparison with their defaults. `batch` and `seq` are those of `train`. */
type ComparisonSettings = Omit<typeof compareDefaults, "batch" | "seq" | "max_new_tokens"> & { readonly max_new_tokens: number };

/** The keys of a comparison in a resolved job. */
export interface ResolvedComparison {
  readonly candidate: string;
  readonly baseline: string;
  readonly judge?: JudgeFile;
  /** Of a judge that is a model. */
  readonly orders?: "both" | "shuffled";
  readonly compare: ComparisonSettings;
}

/** Prompts that a model answers together by default, before the mesh divides them. */
const defaultBatch = 64;

/**
 * The rows and tokens of the programs of a comparison, in the place of those of a training. A comparison has one step.
 *
 * @param axes the mesh axes of the batch
 */
export function trainOfComparison(
  { compare = compareDefaults }: Pick<JobFile, "compare">,
  mesh: Mesh,
  axes: readonly string[],
): NonNullable<JobFile["train"]> {
  const { batch, seq } = compare;
  const parts = mesh.axes.filter(({ name }) => axes.includes(name)).reduce((product, { size }) => product * size, 1);
  return {
    steps: 1,
    batch: batch ?? Math.ceil(defaultBatch / parts) * parts,
    ...(seq === undefined ? {} : { seq }),
    optimizer: { name: "sgd", lr: 0, weight_decay: 0 },
    schedule: scheduleSchema.parse({ name: "constant" }),
  };
}

const defaultNewTokens = 128;

/**
 * The models, the judge and the settings of a comparison, with absolute paths.
 *
 * @param seq tokens of a prompt and its answer
 */
export function resolveComparison(
  { candidate = "", baseline = "", judge, orders = "both", compare = compareDefaults }: JobFile,
  environment: InitNames,
  absolute: AbsolutePath,
  seq: number,
): ResolvedComparison {
  const run = (name: string, ...keys: string[]): string => initDirectory(name, absolute(name, ...keys), environment);
  const { batch: _, seq: __, max_new_tokens = Math.min(defaultNewTokens, Math.floor(seq / 2)), ...settings } = compare;
  return {
    candidate: run(candidate, "candidate"),
    baseline: run(baseline, "baseline"),
    ...(judge === undefined ? {} : { judge: resolveJudge(judge, run, absolute) }),
    ...(judge !== undefined && "model" in judge ? { orders } : {}),
    compare: { ...settings, max_new_tokens },
  };
}

function resolveJudge(judge: JudgeFile, run: (name: string, ...keys: string[]) => string, absolute: AbsolutePath): JudgeFile {
  const { model, reward, verdicts, checker, template } = judge as Readonly<Record<string, string | undefined>>;
  if (reward !== undefined) return { reward: run(reward, "judge", "reward") };
  if (verdicts !== undefined) return { verdicts: absolute(verdicts, "judge", "verdicts") };
  if (model !== undefined)
    return {
      ...judge,
      model: run(model, "judge", "model"),
      ...(template === undefined ? {} : { template: absolute(template, "judge", "template") }),
    };
  return checker !== undefined && /\.m?js$/.test(checker) ? { ...judge, checker: absolute(checker, "judge", "checker") } : judge;
}
