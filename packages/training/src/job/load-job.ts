import { readdirSync, statSync } from "node:fs";
import { basename, dirname, extname, isAbsolute, join, resolve } from "node:path";
import { defaultCorpus } from "@lapidary/data";
import { parseHfConfig } from "@lapidary/interop";
import { buildModel, type ModelConfig } from "@lapidary/models";
import { type ErrorCode, LapidaryError, nearestPath, suggest, type Warning } from "@lapidary/std";
import { chipCount, type Mesh, makeMesh, parseMesh, parseTorus } from "@lapidary/topology";
import type { z } from "zod";
import { checkAxes } from "./check-axes.js";
import { checkFits } from "./check-fits.js";
import { checkBuildOptions } from "./build-options.js";
import { checkAdapter, checkRecipe } from "./check-recipe.js";
import { recipeHash } from "./recipe-hash.js";
import { type ConfigSource, ValueSource } from "./config-source.js";
import { resolveRules, unitsOfParams, usedAxes } from "./default-rules.js";
import { initDirectory, type InitNames } from "./init-checkpoint.js";
import { givenTokenizer, newTokenizer } from "./job-tokenizer.js";
import { resolveComparison, trainOfComparison } from "./comparison-job.js";
import {
  type CheckFile,
  dpoDefaults,
  isRecipePath,
  type JobFile,
  jobFileSchema,
  jobNamePattern,
  ppoDefaults,
  type RewardSourceFile,
} from "./job-schema.js";
import { modelConfigOf, type ModelFile, modelFileOf, modelFileSchema } from "./model-file.js";
import { podAxis } from "./axis-names.js";
import { orderMesh } from "./mesh-order.js";
import { expandBase, isChange } from "./base-changes.js";
import { applyOverride } from "./override.js";
import { type PodFile, podFileSchema } from "./pod-file.js";
import { type StrategyFile, strategyFileSchema } from "./strategy-file.js";
import { replaceRenamedKeys } from "./renamed-keys.js";
import { readConfigFile } from "./read-config-file.js";
import type { ResolvedJob } from "./resolved-job.js";
import { rowsOfBatch } from "./rows-of-batch.js";
import { validate } from "./validate.js";
import { YamlSource } from "./yaml-source.js";

export interface JobEnvironment extends InitNames {
  /** The directory with `models` and `pods`. */
  readonly configsDir: string;
  /** The directory of relative paths in overrides and of the path of a job file: the caller's working directory. */
  readonly base: string;
  /** The data jobs of a pipeline and the directories that they write, by name. */
  readonly datasets?: ReadonlyMap<string, string>;
}

const codeOf = { model: "LAP_JOB_MODEL", pod: "LAP_JOB_POD", strategy: "LAP_JOB_STRATEGY" } as const satisfies Record<string, ErrorCode>;
const plural = { model: "models", pod: "pods", strategy: "strategies" } as const;

/** A job file as plain values: parsed JSON, or the file of a resolved job. */
export interface JobValue {
  readonly value: Readonly<Record<string, unknown>>;
  /** For errors. A job without a name takes the name of the file. */
  readonly file: string;
  /** The directory of relative paths in the value. */
  readonly base: string;
}

/** A job inside another configuration, whose lines errors name. */
interface JobPart {
  readonly source: ConfigSource;
  /** A job without a name takes the name of the file. */
  readonly file: string;
  /** The directory of relative paths in the job. */
  readonly base: string;
}

/** The text of a job file and where it comes from. */
export interface JobText {
  readonly text: string;
  /** For errors. A job without a name takes the name of the file. */
  readonly file: string;
  /** The directory of relative paths in the text. */
  readonly base: string;
  /** Whether `printJob` wrote the text. If so, errors name keys, because no user wrote its lines. Default false. */
  readonly isPrinted?: boolean | undefined;
}

/**
 * Reads a job file, applies `key=value` overrides, and fills in the defaults. Paths in the file are relative to the file.
 *
 * @throws LapidaryError with exit code 2 for a key that is misspelt, missing or of a wrong type, 4 for a job that does not fit its chips
 */
export const loadJob = (path: string, overrides: readonly string[], environment: JobEnvironment): ResolvedJob =>
  loadLocatedJob(path, overrides, environment).job;

/** A job, and the location of each key in its file or overrides. */
export interface LocatedJob {
  readonly job: ResolvedJob;
  readonly locationOf: (path: readonly string[]) => string;
  /** One for each key that has a new name. */
  readonly warnings: readonly Warning[];
}

/** As `loadJob`. */
export const loadLocatedJob = (path: string, overrides: readonly string[], environment: JobEnvironment): LocatedJob =>
  resolveLocatedJob(readJobText(path, environment.base), overrides, environment);

/** The text of a job file or pipeline file. @throws LAP_JOB_FILE if it cannot be read */
export function readJobText(path: string, base: string): JobText {
  const absolute = resolve(base, path);
  const near = nearestPath(path, base);
  const remedy = near === undefined ? "name a job file, such as configs/jobs/quickstart.yaml" : `did you mean ${near}?`;
  const text = readText(absolute, path, "LAP_JOB_FILE", remedy);
  return { text, file: path, base: dirname(absolute) };
}

/** As `loadJob`, for a text or value. Errors about a value name its keys. */
export const resolveJob = (text: JobText | JobValue, overrides: readonly string[], environment: JobEnvironment): ResolvedJob =>
  resolveLocatedJob(text, overrides, environment).job;

/** As `resolveJob`. */
export function resolveLocatedJob(
  given: JobText | JobValue | JobPart,
  overrides: readonly string[],
  environment: JobEnvironment,
): LocatedJob {
  const { file, base } = given;
  const source = sourceOf(given);
  const warnings = [...replaceRenamedKeys(source), ...overrides.flatMap((override) => applyOverride(jobFileSchema, source, override))];
  orderMesh(source);
  const absolute = (path: string, ...keys: string[]): string =>
    isAbsolute(path) ? path : resolve(source.isOverridden(keys) ? environment.base : base, path);
  const files: NamedFiles = { configsDir: environment.configsDir, source, absolute };
  const { job, model, warnings: modelWarnings } = validateWithModel(files);
  const pod = podOf(job.pod, files);
  const strategy = job.strategy === undefined ? undefined : named<StrategyFile>("strategy", strategyFileSchema, job.strategy, files);

  const slice = job.slice ?? pod.torus;
  const chips = chipCount(parseTorus(slice)) * job.pods;
  const podsOnly = source.isOverridden(["pods"]) && !source.isTouched(["mesh"]);
  const mesh = resolveMesh(podsOnly ? addPodAxis(job.mesh, job.pods) : job.mesh, job.pods, chips, source.locationOf(["mesh"]));
  const init = initOf(job, environment, absolute);
  const { name: modelName, ...shape } = model;
  const config = modelConfigOf(shape);
  const {
    strategy: ___,
    unapplied: before,
    recipe,
    recipe_hash,
    sets,
    init: _____,
    reward,
    rl,
    candidate: ______,
    baseline: _______,
    judge: ________,
    ...rest
  } = job;
  const { orders: _________, compare, ...own } = rest;
  const seq = job.train?.seq ?? compare?.seq ?? config.contextLength;
  const units = unitsOf(config, seq);
  const used = usedLogicalAxes(job, config, mesh);
  const { rules, unapplied } = resolveRules({ own: job.rules, unapplied: before, strategy, used }, mesh, units, source);
  const rows = job.train ?? trainOfComparison(job, mesh, rules["batch"] ?? []);
  const { batch: _, batch_per_chip: __, init: ____, ...train } = rows;
  const resolved: ResolvedJob = {
    ...own,
    zero: job.zero ?? strategy?.zero ?? 0,
    name: job.name ?? nameOf(file),
    ...resolveRecipe({ recipe, recipe_hash, sets }, environment, absolute),
    ...(recipe === "dpo" ? { dpo: job.dpo ?? dpoDefaults } : {}),
    ...(recipe === "compare" ? resolveComparison(job, environment, absolute, seq) : {}),
    model: { name: modelName, config },
    pod,
    slice,
    chips,
    mesh: mesh.axes,
    rules,
    ...(Object.keys(unapplied).length === 0 ? {} : { unapplied }),
    train: {
      ...train,
      batch: rowsOfBatch(rows, { chips, mesh, axes: rules["batch"] ?? [] }, source),
      seq,
      ...(init === undefined ? {} : { init }),
    },
    ...(rl === undefined ? {} : { rl: resolveRl(rl, absolute) }),
    ...(reward === undefined ? {} : { reward: reward.map((entry, at) => resolveReward(entry, at, environment, absolute)) }),
    data: resolveData(job.data, { environment, packs: packsRows(recipe), init, vocabSize: config.vocabSize, absolute }),
  };
  checkFits(resolved, source);
  checkBuildOptions(resolved, source);
  checkAdapter(resolved, source);
  checkAxes(resolved, source);
  const locationOf: LocatedJob["locationOf"] = (path) => source.locationOf(path.join(".") === "train.init" ? initKeys(job) : path);
  return { job: resolved, locationOf, warnings: [...warnings, ...modelWarnings] };
}

/** The sizes of the dims that rules split, by logical axis: of the parameters, and of the activations of rows of `seq` tokens. */
const unitsOf = (config: ModelConfig, seq: number): Map<string, readonly number[]> =>
  new Map<string, readonly number[]>(unitsOfParams(buildModel(config).params))
    .set("seq", [seq])
    .set("pipeline_seq", [seq])
    .set("activation_seq", [seq])
    .set("activation_embed", [config.modelDim]);

const usedLogicalAxes = ({ context }: JobFile, { experts }: ModelConfig, { axes }: Mesh): string[] =>
  usedAxes({
    experts: experts !== undefined,
    heads: context?.strategy === "heads",
    stages: axes.some(({ name, size }) => name === "stage" && size > 1),
  });

/** The job of a source, and its model. A change of a model becomes the whole model first. */
function validateWithModel(files: NamedFiles): { readonly job: JobFile } & ReturnType<typeof modelOf> {
  const { source } = files;
  const ofBase: Warning[] = [];
  expandBase(source, "model", (name) => {
    const found = modelOf(name, files);
    ofBase.push(...found.warnings);
    return found.model;
  });
  expandBase(source, "pod", (name) => podOf(name, files));
  const job = validate(jobFileSchema, source);
  checkRecipe(job, source);
  if (isChange(job.model)) throw new Error("invariant broken: the base of the model is expanded");
  const { model, warnings } = modelOf(job.model, files);
  return { job, model, warnings: [...ofBase, ...warnings] };
}

/** The model of a job: a value, a named file, or the `config.json` of a Hugging Face checkpoint. */
function modelOf(
  of: string | ModelFile,
  files: NamedFiles,
): { readonly model: ModelFile & { readonly name: string }; readonly warnings: readonly Warning[] } {
  const directory =
    typeof of === "string" && /[/\\]|^\.+$/.test(of) ? files.absolute(of, "model").replace(/\/config\.json$/, "") : undefined;
  const path = directory === undefined ? undefined : join(directory, "config.json");
  if (directory === undefined || path === undefined || !isDirectory(directory))
    return { model: named<ModelFile>("model", modelFileSchema, of, files), warnings: [] };
  const text = readText(path, files.source.locationOf(["model"]), codeOf.model, "name a directory with the config.json of a checkpoint");
  const { config, warnings } = parseHfConfig(text, path);
  return { model: { ...modelFileOf("", config), name: nameOf(basename(directory)) }, warnings };
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

export interface NamedFiles {
  readonly configsDir: string;
  readonly source: ConfigSource;
  readonly absolute: AbsolutePath;
}

/** The pod of a job: a value or a named file. `expandBase` has replaced changes. */
export function podOf(of: JobFile["pod"], files: NamedFiles): PodFile & { readonly name: string } {
  if (isChange(of)) throw new Error("invariant broken: the base of the pod is expanded");
  return named<PodFile>("pod", podFileSchema, of, files);
}

/** A model, pod or strategy: the value in the job, or the file that the job names. */
function named<T extends { readonly name?: string | undefined }>(
  kind: "model" | "pod" | "strategy",
  schema: z.ZodType<T>,
  of: string | T,
  { configsDir, source, absolute }: NamedFiles,
): T & { readonly name: string } {
  if (typeof of !== "string") return { name: of.name ?? kind, ...of };
  const isPath = of.includes("/") || extname(of) === ".yaml";
  const path = isPath ? absolute(of, kind) : join(configsDir, plural[kind], `${of}.yaml`);
  if (!isPath) checkKnown(kind, of, configsDir, source.locationOf([kind]));
  const value = validate(
    schema,
    YamlSource.parse(readText(path, source.locationOf([kind]), codeOf[kind], `name a file of configs/${plural[kind]}, or a path`), path),
  );
  return { name: value.name ?? basename(path, ".yaml"), ...value };
}

/** A path of the file or of an override at `keys`, as an absolute path. */
type AbsolutePath = (path: string, ...keys: string[]) => string;

interface DataContext {
  /** Whether a row has several examples by default. */
  readonly packs: boolean;
  /** The checkpoint that the job starts from. */
  readonly init: string | undefined;
  /** Of the model. */
  readonly vocabSize: number;
  readonly absolute: AbsolutePath;
  readonly environment: JobEnvironment;
}

/** The data of a job with absolute paths and the defaults of its recipe. */
function resolveData(data: JobFile["data"], { packs, init, vocabSize, absolute, environment }: DataContext): ResolvedJob["data"] {
  const { tokenizer, path, pipeline, ...rest } = data;
  const evaluation = data.eval ?? (path === undefined ? undefined : [{ path }]);
  const needsVocab = pipeline === undefined && givenTokenizer(data, { init }) === undefined;
  const vocab = data.vocab ?? (needsVocab ? vocabSize : undefined);
  const examples = <T extends { readonly path: string }>(files: readonly T[], key: string): T[] =>
    files.map((entry) => ({ ...entry, path: absolute(entry.path, "data", key) }));
  return {
    ...rest,
    ...(pipeline === undefined ? {} : { pipeline: environment.datasets?.get(pipeline) ?? absolute(pipeline, "data", "pipeline") }),
    ...(vocab === undefined ? {} : { vocab }),
    ...(tokenizer === undefined
      ? {}
      : {
          tokenizer:
            tokenizer === newTokenizer ? tokenizer : initDirectory(tokenizer, absolute(tokenizer, "data", "tokenizer"), environment),
        }),
    corpus: data.corpus === defaultCorpus ? defaultCorpus : absolute(data.corpus, "data", "corpus"),
    ...(data.train === undefined ? {} : { train: examples(data.train, "train"), pack: data.pack ?? packs, filters: data.filters ?? [] }),
    ...(evaluation === undefined ? {} : { eval: examples(evaluation, path === undefined ? "eval" : "path") }),
  };
}

const packsRows = (recipe: JobFile["recipe"]): boolean => recipe === undefined || recipe === "sft" || isRecipePath(recipe);

/** The recipe: that of a user's module with its absolute path, its hash and the directories of its parameter sets. */
function resolveRecipe(
  { recipe, recipe_hash: given, sets = {} }: Pick<JobFile, "recipe" | "recipe_hash" | "sets">,
  environment: JobEnvironment,
  absolute: AbsolutePath,
): Pick<ResolvedJob, "recipe" | "recipe_hash" | "sets"> {
  if (recipe === undefined || recipe === "pretrain") return {};
  if (!isRecipePath(recipe)) return { recipe };
  const path = absolute(recipe, "recipe") as typeof recipe;
  const hash = given ?? recipeHash(path);
  const directories = Object.entries(sets).map(([set, of]) => [set, initDirectory(of, absolute(of, "sets", set), environment)]);
  return {
    recipe: path,
    ...(hash === undefined ? {} : { recipe_hash: hash }),
    ...(directories.length === 0 ? {} : { sets: Object.fromEntries(directories) as Record<string, string> }),
  };
}

/** A source of rewards with absolute paths. */
function resolveReward(source: RewardSourceFile, at: number, environment: JobEnvironment, absolute: AbsolutePath): RewardSourceFile {
  if ("model" in source && typeof source.model === "string")
    return {
      ...source,
      model: initDirectory(source.model, absolute(source.model, "reward", `${at}`, "model"), environment),
    } as RewardSourceFile;
  return "checker" in source ? resolveChecker(source, absolute, "reward", `${at}`) : source;
}

/** The settings of reinforcement learning with the defaults of the algorithm. */
const resolveRl = (rl: NonNullable<JobFile["rl"]>, absolute: AbsolutePath): NonNullable<JobFile["rl"]> => ({
  ...rl,
  ...(rl.algorithm === "ppo" ? { ppo: rl.ppo ?? ppoDefaults } : {}),
  ...(rl.check === undefined ? {} : { check: resolveChecker(rl.check, absolute, "rl", "check") }),
});

/** A checker with the absolute path of its module. */
const resolveChecker = <C extends CheckFile>(check: C, absolute: AbsolutePath, ...keys: string[]): C =>
  /\.m?js$/.test(check.checker) ? { ...check, checker: absolute(check.checker, ...keys, "checker") } : check;

/** The checkpoint that a job starts from: `init` or `train.init`, as `initDirectory` resolves it. */
function initOf(job: JobFile, environment: JobEnvironment, absolute: AbsolutePath): string | undefined {
  const init = job.init ?? job.train?.init;
  return init === undefined ? undefined : initDirectory(init, absolute(init, ...initKeys(job)), environment);
}

/** The key that names the checkpoint: `init` is a shorter form of `train.init`. */
const initKeys = ({ init }: JobFile): readonly string[] => (init === undefined ? ["train", "init"] : ["init"]);

export function sourceOf(given: JobText | JobValue | JobPart): ConfigSource {
  if ("source" in given) return given.source;
  if ("value" in given) return new ValueSource(given.value, given.file);
  const source = YamlSource.parse(given.text, given.file);
  return given.isPrinted === true ? new ValueSource(source.value, given.file) : source;
}

/** Replaces the pod axis of a mesh. An override that sets only `pods` has this effect on the mesh of the file. */
function addPodAxis(given: JobFile["mesh"], pods: number): JobFile["mesh"] {
  if (given === undefined) return undefined;
  const axes = (typeof given === "string" ? parseMesh(given) : makeMesh(given)).axes.filter(({ name }) => name !== podAxis);
  return { ...(pods === 1 ? {} : { [podAxis]: pods }), ...Object.fromEntries(axes.map(({ name, size }) => [name, size])) };
}

/** The mesh of a job. By default all chips are on `data`, and pods are on their own axis. */
function resolveMesh(given: JobFile["mesh"], pods: number, chips: number, location: string): Mesh {
  if (given === undefined) return makeMesh(pods === 1 ? { data: chips } : { [podAxis]: pods, data: chips / pods });
  const mesh = withLocation(location, () => (typeof given === "string" ? parseMesh(given) : makeMesh(given)));
  if (mesh.axes.length >= 1 && mesh.axes.length <= 4) return mesh;
  throw new LapidaryError({
    code: "LAP_MESH_AXES",
    message: `a mesh has 1 to 4 axes, not ${mesh.axes.length}`,
    location,
    remedy: "name axes and their sizes, such as { data: 16, model: 16 }",
  });
}

/** Adds the location in the job file to errors of functions that do not know the file. */
function withLocation<T>(location: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw error instanceof LapidaryError ? error.with({ location }) : error;
  }
}

function checkKnown(kind: "model" | "pod" | "strategy", name: string, configsDir: string, location: string): void {
  const known = readdirSync(join(configsDir, plural[kind])).flatMap((file) => (file.endsWith(".yaml") ? [basename(file, ".yaml")] : []));
  if (known.includes(name)) return;
  const near = suggest(name, known);
  throw new LapidaryError({
    code: codeOf[kind],
    message: `${kind} "${name}" not found`,
    location,
    remedy:
      near === undefined
        ? `${plural[kind]} are ${known.sort().join(", ")}; a path with a / names a file elsewhere`
        : `did you mean "${near}"?`,
  });
}

export function nameOf(file: string): string {
  const name = basename(file, extname(file))
    .toLowerCase()
    .replace(/[^a-z0-9._-]/g, "-")
    .slice(0, 64);
  return jobNamePattern.test(name) ? name : "job";
}

function readText(path: string, location: string, code: ErrorCode, remedy: string): string {
  const fail = (message: string, cause?: unknown): LapidaryError => new LapidaryError({ code, message, location, remedy, cause });
  let bytes: Buffer;
  try {
    bytes = readConfigFile(path);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code;
    if (reason === "ENOENT") throw fail(`file ${path} not found`, cause);
    throw fail(
      reason === "ETIMEDOUT" ? `no process writes to the pipe ${path}` : `${path} cannot be read (${reason ?? String(cause)})`,
      cause,
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw fail(`${path} is not UTF-8`, cause);
  }
}
