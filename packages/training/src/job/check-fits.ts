import { LapidaryError, counted, ensure } from "@lapidary/std";
import { checkMeshFills, parseTorus, printMesh } from "@lapidary/topology";
import { axesOverPods, podAxis } from "./axis-names.js";
import { mostLossChunks } from "./loss-chunks.js";
import { meshOf, type ResolvedJob } from "./resolved-job.js";
import type { Path, ConfigSource } from "./config-source.js";

/** Checks that need several keys of a job. */
export function checkFits(job: ResolvedJob, source: ConfigSource): void {
  checkSlice(job, source.locationOf(["slice"]));
  const mesh = meshOf(job);
  checkMeshFills(mesh, job.chips, source.locationOf(["mesh"]));
  checkPodAxis(job, source.locationOf(["mesh"]));
  const rows = job.compare === undefined ? "train" : "compare";
  checkBatch(job, source, source.locationOf([rows, "batch"]));

  const { contextLength, vocabSize } = job.model.config;
  checkAtMost(job.train.seq, contextLength, source, [rows, "seq"], `the context of ${job.model.name}`);
  if (job.compare !== undefined)
    checkAtMost(job.compare.max_new_tokens, job.train.seq - 1, source, ["compare", "max_new_tokens"], "because a row has a prompt too");
  if (job.data.vocab !== undefined)
    checkAtMost(job.data.vocab, vocabSize, source, ["data", "vocab"], `the vocabulary of ${job.model.name}`);
  const { loss_chunks: chunks = 1 } = job;
  if (chunks !== "auto") checkAtMost(chunks, mostLossChunks(job), source, ["loss_chunks"], "the tokens that a chip has of a row");
  if (job.train.schedule.warmup > job.train.steps)
    checkAtMost(job.train.schedule.warmup, job.train.steps, source, ["train", "schedule", "warmup"], "train.steps");
}

/** A slice must be a rectangle inside the pod. */
function checkSlice({ slice, pod }: ResolvedJob, location: string): void {
  const [wanted, whole] = [parseTorus(slice).dims, parseTorus(pod.torus).dims];
  if (wanted.length === whole.length && wanted.every((size, d) => size <= ensure(whole[d], "dim"))) return;
  throw new LapidaryError({
    code: "LAP_SLICE_TOO_LARGE",
    message: `a slice of ${slice} chips does not fit in a pod of ${pod.torus}`,
    location,
    remedy: `choose a slice within ${pod.torus}, or another pod than ${pod.name}`,
  });
}

/** The axes over pods, `pod` and `stage`, must be the most major ones, because then every other axis stays inside a pod. */
function checkPodAxis({ pods, mesh }: ResolvedJob, location: string): void {
  const named = mesh.find(({ name }) => name === podAxis);
  if (pods === 1 && (named === undefined || named.size === 1)) return;
  if (pods > 1 && axesOverPods(mesh, pods) !== undefined) return;
  throw new LapidaryError({
    code: "LAP_MESH_POD_AXIS",
    message: `${pods === 1 ? "one pod needs no mesh axis" : `${pods} pods need a first mesh axis`} "${podAxis}" of size ${pods}${pods === 1 ? "" : `, or first axes "${podAxis}" and "stage" whose product is ${pods}`}`,
    location,
    remedy: pods === 1 ? "rename the axis, or set pods" : `write mesh: { ${podAxis}: ${pods}, … }`,
  });
}

/** The mesh must divide the rows of a batch. */
function checkBatch(job: ResolvedJob, source: ConfigSource, location: string): void {
  const axes = ensure(job.rules["batch"], "rule of batch");
  const parts = axes.reduce(
    (n, name) =>
      n *
      ensure(
        job.mesh.find((axis) => axis.name === name),
        name,
      ).size,
    1,
  );
  const { batch } = job.train;
  checkGroups(job, parts, location);
  if (batch % parts === 0) return checkMicrobatches(job, batch / parts, source);
  const below = Math.floor(batch / parts) * parts;
  const near = below === 0 ? `${parts}` : `${below} or ${below + parts}`;
  throw new LapidaryError({
    code: "LAP_MESH_INDIVISIBLE",
    message: `a batch of ${batch} is not divisible by ${axes.join("×")} = ${parts} (mesh ${printMesh(meshOf(job))})`,
    location,
    remedy: `use a batch of ${near}, or another mesh`,
  });
}

/** The number of microbatches must divide the rows that the chips of a part of the mesh have: every chip then takes its rows of each microbatch. */
function checkMicrobatches({ train: { batch, microbatches = 1 } }: ResolvedJob, rows: number, source: ConfigSource): void {
  if (rows % microbatches === 0) return;
  const below = descending(Math.min(microbatches, rows)).find((n) => rows % n === 0) ?? 1;
  const above = Array.from({ length: rows - below }, (_, i) => below + 1 + i).find((n) => rows % n === 0);
  const parts = batch / rows;
  throw new LapidaryError({
    code: "LAP_MESH_INDIVISIBLE",
    message: `train.microbatches is ${microbatches}: it does not divide the ${counted(rows, "row")} of a part of the mesh (batch ${batch} / ${parts})`,
    location: source.locationOf(["train", "microbatches"]),
    remedy: `use ${above === undefined ? below : `${below} or ${above}`} microbatches, or a batch of ${parts * microbatches * Math.max(1, Math.round(rows / microbatches))} rows`,
  });
}

const descending = (from: number): number[] => Array.from({ length: from }, (_, i) => from - i);

/** A pair of answers has two rows, and a prompt of rl has a row for each completion: the mesh must divide the pairs, or the prompts. */
function checkGroups({ recipe, rl, train: { batch, seq } }: ResolvedJob, parts: number, location: string): void {
  const isOnPairs = recipe === "reward" || recipe === "dpo";
  const rows = rl === undefined ? (isOnPairs ? 2 : 1) : rl.generations;
  if (batch % (rows * parts) !== 0 && rows > 1)
    throw new LapidaryError({
      code: "LAP_MESH_INDIVISIBLE",
      message: `a batch of ${batch} rows is not divisible by ${rows} rows of a ${isOnPairs ? "pair" : "prompt"} × ${parts} parts of the mesh`,
      location,
      remedy: `use a multiple of ${rows * parts} rows, or another mesh`,
    });
  if (rl !== undefined && rl.rollout.max_new_tokens >= seq)
    throw new LapidaryError({
      code: "LAP_CONFIG_VALUE",
      message: `rl.rollout.max_new_tokens is ${rl.rollout.max_new_tokens}, and a row has ${seq} tokens with its prompt`,
      location,
      remedy: "raise train.seq, or lower rl.rollout.max_new_tokens",
    });
}

function checkAtMost(value: number, limit: number, source: ConfigSource, path: Path, what: string): void {
  if (value <= limit) return;
  const name = path.map(String).join(".");
  throw new LapidaryError({
    code: "LAP_CONFIG_VALUE",
    message: `${name} is ${value}: the maximum is ${limit}, ${what}`,
    location: source.locationOf(path),
    remedy: `use at most ${limit}`,
  });
}
