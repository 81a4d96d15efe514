import { LapidaryError, counted } from "@lapidary/std";
import { axisMeaning, isKnownAxis, knownAxes } from "@lapidary/training/job";
import type { LossChunks } from "@lapidary/training";
import { type Mesh, type Torus, checkMeshFills, chipCount, makeWorkerGrid, meshSize, parseMesh, parseTorus } from "@lapidary/topology";

export interface ParityOptions {
  readonly directory: string;
  readonly mesh: string | undefined;
  readonly torus: string | undefined;
  readonly zero: string | undefined;
  readonly numerics: string | undefined;
  readonly workers: number | undefined;
  readonly executor: string | undefined;
  /** Pieces of the sequence in which losses are computed. */
  readonly lossChunks: number | undefined;
  /** Parts of a batch whose gradients are added before the update. */
  readonly microbatches: number | undefined;
  /** Name or path of a file of `configs/strategies`. */
  readonly strategy: string | undefined;
  /** `key=value` pairs of the keys `rules`, `context` and `moe` of a job. */
  readonly overrides: readonly string[];
  /** Parts of a bundle of post-training, separated by commas. */
  readonly part: string | undefined;
}

/** The settings of a parity run, with defaults. */
export interface ParityPlan {
  readonly mesh: Mesh;
  readonly torus: Torus;
  readonly zero: 0 | 1 | 2 | 3;
  readonly numerics: "f32" | "mxu";
  readonly executor: "stacked" | "chipwise";
  /** The pieces in which losses over logits are computed; undefined: all logits at once. */
  readonly chunks: LossChunks | undefined;
  readonly microbatches: number;
  /** Number of worker processes: at most the requested number, and a divisor of the mesh. */
  readonly workers: number;
}

/** @param cores the default number of worker processes */
export function planParity(options: ParityOptions, cores: number): ParityPlan {
  const mesh = parseMesh(options.mesh ?? "data=1");
  if (mesh.axes.length < 1 || mesh.axes.length > 4)
    throw new LapidaryError({
      code: "LAP_MESH_AXES",
      message: `a mesh has 1 to 4 axes, not ${mesh.axes.length}`,
      location: "--mesh",
      remedy: "write name=size pairs, such as data=2,model=4",
    });
  // A strategy or an override may name any axis.
  if (options.strategy === undefined && options.overrides.length === 0)
    for (const { name, size } of mesh.axes) if (size > 1 && !isKnownAxis(name)) throw unknownAxis(name, size);
  const torus = options.torus === undefined ? torusFor(mesh) : parseTorus(options.torus);
  checkMeshFills(mesh, chipCount(torus), "--mesh");
  const executor = options.executor === "chipwise" ? "chipwise" : "stacked";
  // The reference holds one value per chip, all in one process.
  const workers = executor === "chipwise" ? 1 : (options.workers ?? cores);
  return {
    mesh,
    torus,
    zero: zeroStage(options.zero),
    numerics: options.numerics === "mxu" ? "mxu" : "f32",
    executor,
    // The rules of the run decide the parts of the sequence: `parityForm`.
    chunks: options.lossChunks === undefined ? undefined : { count: options.lossChunks, seqParts: 1 },
    microbatches: options.microbatches ?? 1,
    workers: makeWorkerGrid(mesh, workers).workers,
  };
}

/** The default rules use the known axes. Along any other axis, all chips would compute the same. */
function unknownAxis(name: string, size: number): LapidaryError {
  const known = axisMeaning(name)?.axis;
  return new LapidaryError({
    code: "LAP_MESH_AXIS_UNKNOWN",
    message: `no rule knows the mesh axis "${name}" (${counted(size, "chip")}): all chips along it would hold and compute the same`,
    location: "--mesh",
    remedy: known === undefined ? `axes are ${knownAxes.join(", ")}` : `${name} is "${known}" here`,
  });
}

/** The rectangle nearest to a square with as many chips as the mesh: 256 → 16x16, 8 → 2x4. */
export function torusFor(mesh: Mesh): Torus {
  const chips = meshSize(mesh);
  let rows = Math.floor(Math.sqrt(chips));
  while (chips % rows !== 0) rows--;
  return { dims: [rows, chips / rows] };
}

function zeroStage(text: string | undefined): 0 | 1 | 2 | 3 {
  return text === "1" ? 1 : text === "2" ? 2 : text === "3" ? 3 : 0;
}

/** @throws LAP_PARITY_OPTION if a row of `seq` tokens cannot have so many pieces */
export function checkChunks({ chunks }: Pick<ParityPlan, "chunks">, seq: number): void {
  if (chunks === undefined || (chunks.count >= 1 && chunks.count <= seq)) return;
  throw new LapidaryError({
    code: "LAP_PARITY_OPTION",
    message: `a row of ${counted(seq, "token")} cannot have ${counted(chunks.count, "piece")}`,
    location: "--loss-chunks",
    remedy: `use 1 to ${seq}`,
  });
}

/** @throws LAP_PARITY_OPTION if a batch of `rows` cannot have so many parts */
export function checkMicrobatches({ microbatches }: Pick<ParityPlan, "microbatches">, rows: number): void {
  if (microbatches >= 1 && rows % microbatches === 0) return;
  const divisors = Array.from({ length: rows }, (_, i) => i + 1).filter((n) => rows % n === 0);
  throw new LapidaryError({
    code: "LAP_PARITY_OPTION",
    message: `${counted(microbatches, "microbatch")} cannot have equal numbers of ${counted(rows, "row")}`,
    location: "--microbatches",
    remedy: `use ${divisors.join(", ")}`,
  });
}
