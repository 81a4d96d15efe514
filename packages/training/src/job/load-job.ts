import { readdirSync } from "node:fs";
import { basename, dirname, extname, isAbsolute, join, resolve } from "node:path";
import { defaultCorpus } from "@lapidary/data";
import { buildModel } from "@lapidary/models";
import { type ErrorCode, LapidaryError, suggest } from "@lapidary/std";
import { chipCount, type Mesh, makeMesh, parseMesh, parseTorus } from "@lapidary/topology";
import type { z } from "zod";
import { checkAxes } from "./check-axes.js";
import { checkFits } from "./check-fits.js";
import { type ConfigSource, ValueSource } from "./config-source.js";
import { resolveRules, unitsOfParams } from "./default-rules.js";
import { givenTokenizer, trainedTokenizer } from "./job-tokenizer.js";
import { type JobFile, jobFileSchema, jobNamePattern } from "./job-schema.js";
import { modelConfigOf, type ModelFile, modelFileSchema } from "./model-file.js";
import { podAxis } from "./axis-names.js";
import { applyOverride } from "./override.js";
import { type PodFile, podFileSchema } from "./pod-file.js";
import { type StrategyFile, strategyFileSchema } from "./strategy-file.js";
import { readConfigFile } from "./read-config-file.js";
import type { ResolvedJob } from "./resolved-job.js";
import { rowsOfBatch } from "./rows-of-batch.js";
import { validate } from "./validate.js";
import { YamlSource } from "./yaml-source.js";

export interface JobEnvironment {
  /** The directory with `models` and `pods`. */
  readonly configsDir: string;
  /** Where relative paths in overrides, and the path of a job file, begin: the caller's working directory. */
  readonly base: string;
}

const codeOf = { model: "LAP_JOB_MODEL", pod: "LAP_JOB_POD", strategy: "LAP_JOB_STRATEGY" } as const satisfies Record<string, ErrorCode>;
const plural = { model: "models", pod: "pods", strategy: "strategies" } as const;

/** A job file as plain values: JSON that was read, or the file of a resolved job. */
export interface JobValue {
  readonly value: Readonly<Record<string, unknown>>;
  /** Stands in errors; the job is called after it where it gives no name. */
  readonly file: string;
  /** Where relative paths in it begin. */
  readonly base: string;
}

/** The text of a job file and where it comes from. */
export interface JobText {
  readonly text: string;
  /** Stands in errors; the job is called after it where it gives no name. */
  readonly file: string;
  /** Where relative paths in the text begin. */
  readonly base: string;
  /** Whether `printJob` made the text: errors name its keys then, since nobody wrote its lines. Default false. */
  readonly isPrinted?: boolean | undefined;
}

/**
 * Reads a job file, lays `key=value` overrides over it, and fills in the rest. Paths in the file are relative to the file.
 *
 * @throws LapidaryError with exit code 2 for whatever is misspelt, missing or of a wrong type, 4 for what does not fit its chips
 */
export const loadJob = (path: string, overrides: readonly string[], environment: JobEnvironment): ResolvedJob =>
  loadPlacedJob(path, overrides, environment).job;

/** A job, and where its file or its overrides say a key. */
export interface PlacedJob {
  readonly job: ResolvedJob;
  readonly placeOf: (path: readonly string[]) => string;
}

/** As `loadJob`. */
export function loadPlacedJob(path: string, overrides: readonly string[], environment: JobEnvironment): PlacedJob {
  const absolute = resolve(environment.base, path);
  const text = readText(absolute, path, "LAP_JOB_FILE", "name a job file, such as configs/jobs/quickstart.yaml");
  return resolvePlacedJob({ text, file: path, base: dirname(absolute) }, overrides, environment);
}

/** The same for a text or value that was read already. Errors about a value name its keys. */
export const resolveJob = (text: JobText | JobValue, overrides: readonly string[], environment: JobEnvironment): ResolvedJob =>
  resolvePlacedJob(text, overrides, environment).job;

/** As `resolveJob`. */
export function resolvePlacedJob(given: JobText | JobValue, overrides: readonly string[], environment: JobEnvironment): PlacedJob {
  const { file, base } = given;
  const source = sourceOf(given);
  for (const override of overrides) applyOverride(jobFileSchema, source, override);
  const job = validate(jobFileSchema, source);
  const absolute = (path: string, ...keys: string[]): string =>
    isAbsolute(path) ? path : resolve(source.isOverridden(keys) ? environment.base : base, path);

  const named = <T extends { readonly name?: string | undefined }>(
    kind: "model" | "pod" | "strategy",
    schema: z.ZodType<T>,
    of: string | T,
  ): T & { readonly name: string } => {
    if (typeof of !== "string") return { name: of.name ?? kind, ...of };
    const isPath = of.includes("/") || extname(of) === ".yaml";
    const path = isPath ? absolute(of, kind) : join(environment.configsDir, plural[kind], `${of}.yaml`);
    if (!isPath) checkKnown(kind, of, environment.configsDir, source.placeOf([kind]));
    const value = validate(
      schema,
      YamlSource.parse(readText(path, source.placeOf([kind]), codeOf[kind], `name a file of configs/${plural[kind]}, or a path`), path),
    );
    return { name: value.name ?? basename(path, ".yaml"), ...value };
  };
  const model = named<ModelFile>("model", modelFileSchema, job.model);
  const pod = named<PodFile>("pod", podFileSchema, job.pod);
  const strategy = job.strategy === undefined ? undefined : named<StrategyFile>("strategy", strategyFileSchema, job.strategy);

  const slice = job.slice ?? pod.torus;
  const chips = chipCount(parseTorus(slice)) * job.pods;
  const podsOnly = source.isOverridden(["pods"]) && !source.isTouched(["mesh"]);
  const mesh = resolveMesh(podsOnly ? overPods(job.mesh, job.pods) : job.mesh, job.pods, chips, source.placeOf(["mesh"]));
  const { batch: _, batch_per_chip: __, ...train } = job.train;
  const { name: modelName, ...shape } = model;
  const config = modelConfigOf(shape);
  const { strategy: ___, unapplied: before, ...own } = job;
  const seq = job.train.seq ?? config.contextLength;
  const units = unitsOfParams(buildModel(config).params)
    .set("seq", [seq])
    .set("activation_seq", [seq])
    .set("activation_embed", [config.modelDim]);
  const { rules, unapplied } = resolveRules({ own: job.rules, unapplied: before, strategy }, mesh, units, source);
  const { tokenizer } = job.data;
  const vocab = job.data.vocab ?? (givenTokenizer(job.data, job.train) === undefined ? config.vocabSize : undefined);
  const resolved: ResolvedJob = {
    ...own,
    zero: job.zero ?? strategy?.zero ?? 0,
    name: job.name ?? nameOf(file),
    model: { name: modelName, config },
    pod,
    slice,
    chips,
    mesh: mesh.axes,
    rules,
    ...(Object.keys(unapplied).length === 0 ? {} : { unapplied }),
    train: {
      ...train,
      batch: rowsOfBatch(job.train, { chips, mesh, axes: rules["batch"] ?? [] }, source),
      seq,
      ...(job.train.init === undefined ? {} : { init: absolute(job.train.init, "train", "init") }),
    },
    data: {
      ...job.data,
      ...(vocab === undefined ? {} : { vocab }),
      ...(tokenizer === undefined
        ? {}
        : { tokenizer: tokenizer === trainedTokenizer ? tokenizer : absolute(tokenizer, "data", "tokenizer") }),
      corpus: job.data.corpus === defaultCorpus ? defaultCorpus : absolute(job.data.corpus, "data", "corpus"),
    },
  };
  checkFits(resolved, source);
  checkAxes(resolved, source);
  return { job: resolved, placeOf: (path) => source.placeOf(path) };
}

function sourceOf(given: JobText | JobValue): ConfigSource {
  if ("value" in given) return new ValueSource(given.value, given.file);
  const source = YamlSource.parse(given.text, given.file);
  return given.isPrinted === true ? new ValueSource(source.value, given.file) : source;
}

/** An override of `pods` alone lays the mesh of the file over so many pods. */
function overPods(given: JobFile["mesh"], pods: number): JobFile["mesh"] {
  if (given === undefined) return undefined;
  const axes = (typeof given === "string" ? parseMesh(given) : makeMesh(given)).axes.filter(({ name }) => name !== podAxis);
  return { ...(pods === 1 ? {} : { [podAxis]: pods }), ...Object.fromEntries(axes.map(({ name, size }) => [name, size])) };
}

/** All chips on `data` (and pods on an axis of their own) where a job gives no mesh. */
function resolveMesh(given: JobFile["mesh"], pods: number, chips: number, place: string): Mesh {
  if (given === undefined) return makeMesh(pods === 1 ? { data: chips } : { [podAxis]: pods, data: chips / pods });
  const mesh = placed(place, () => (typeof given === "string" ? parseMesh(given) : makeMesh(given)));
  if (mesh.axes.length >= 1 && mesh.axes.length <= 4) return mesh;
  throw new LapidaryError({
    code: "LAP_MESH_AXES",
    message: `a mesh has 1 to 4 axes, not ${mesh.axes.length}`,
    place,
    remedy: "name axes and their sizes, such as { data: 16, model: 16 }",
  });
}

/** Says where in the job file a mistake stands that was found by those who do not know the file. */
function placed<T>(place: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw error instanceof LapidaryError ? error.with({ place }) : error;
  }
}

function checkKnown(kind: "model" | "pod" | "strategy", name: string, configsDir: string, place: string): void {
  const known = readdirSync(join(configsDir, plural[kind])).flatMap((file) => (file.endsWith(".yaml") ? [basename(file, ".yaml")] : []));
  if (known.includes(name)) return;
  const near = suggest(name, known);
  throw new LapidaryError({
    code: codeOf[kind],
    message: `there is no ${kind} "${name}"`,
    place,
    remedy:
      near === undefined
        ? `${plural[kind]} are ${known.sort().join(", ")}; a path with a / names a file elsewhere`
        : `did you mean "${near}"?`,
  });
}

function nameOf(file: string): string {
  const name = basename(file, extname(file))
    .toLowerCase()
    .replace(/[^a-z0-9._-]/g, "-")
    .slice(0, 64);
  return jobNamePattern.test(name) ? name : "job";
}

function readText(path: string, place: string, code: ErrorCode, remedy: string): string {
  const fail = (message: string, cause?: unknown): LapidaryError => new LapidaryError({ code, message, place, remedy, cause });
  let bytes: Buffer;
  try {
    bytes = readConfigFile(path);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code;
    if (reason === "ENOENT") throw fail(`there is no file ${path}`, cause);
    throw fail(
      reason === "ETIMEDOUT" ? `nobody writes into the pipe ${path}` : `${path} cannot be read (${reason ?? String(cause)})`,
      cause,
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw fail(`${path} is not UTF-8`, cause);
  }
}
