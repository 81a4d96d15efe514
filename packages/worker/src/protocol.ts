import type { ErrorJSON, JsonValue } from "@lapidary/std";
import type { Dtype } from "@lapidary/ir";

// The coordinator's half of this package: types and paths, nothing that loads tfjs.
export {
  type ArrayData,
  type Numbers,
  arrayOf,
  blockDimsOf,
  bytesOfNumbers,
  emptyNumbers,
  firstReplicas,
  numbersOf,
  putBlock,
  takeBlock,
  wholeFromBlocks,
} from "./blocks.js";

/** The file that a worker process runs: `node … --socket PATH --name NAME [--lease SECONDS]`. */
export const workerMain = new URL("./main.js", import.meta.url);

/** A handle of a sharded array: every worker of the gang holds its block under the same one. Chosen by the coordinator. */
export type ValueId = string;
/** Hash of a program's text. */
export type ProgramHash = string;
/** The fence number of an attempt of a run: it only grows. */
export type Epoch = number;

/** `stacked` trains; `chipwise`, one value a chip in a single worker, is the reference. */
export type ExecutorName = "stacked" | "chipwise";
export type NumericsName = "f32" | "mxu";

/**
 * Everything a worker can be told. This union *is* the worker's behaviour: what is not here, a worker does not do.
 *
 * A worker belongs to at most one run at a time, from `configure` to `reset`. Messages are executed one after the other, in the order in which they
 * come; many may be in flight. Each is answered once, in that order, by its reply or by an error. A message of an older epoch than the worker's is
 * refused with LAP_WORKER_STALE, whatever it asks.
 */
export type WorkerMessage =
  | ConfigureMessage
  | LoadMessage
  | PutMessage
  | FeedMessage
  | RunMessage
  | DescribeMessage
  | FetchMessage
  | DropMessage
  | StatsMessage
  | CopyMessage
  | ImageMessage
  | SnapshotMessage
  | HoldingsMessage
  | LendMessage
  | AdoptMessage
  | RestoreMessage
  | ResetMessage
  | ShutdownMessage;

/** Join a run as number `worker` of `workers`. With more than one, the reply comes when all are connected with one another. */
export interface ConfigureMessage {
  readonly kind: "configure";
  readonly epoch: Epoch;
  readonly run: string;
  readonly worker: number;
  readonly workers: number;
  /** As `printMesh` writes it. Workers lie over it as `makeWorkerGrid` says. */
  readonly mesh: string;
  readonly executor: ExecutorName;
  readonly numerics: NumericsName;
  /** Socket of each worker while the gang assembles. */
  readonly peers: readonly string[];
}

/** Keep a per-chip program under its hash (of the text without blocks); idempotent. Payload: its text (`printGraph`), in UTF-8. */
export interface LoadMessage {
  readonly kind: "load";
  readonly epoch: Epoch;
  readonly program: ProgramHash;
}

/** Hold this worker's block of a whole array. Payload: the block, row-major, 4 bytes a number. An existing value is replaced. */
export interface PutMessage {
  readonly kind: "put";
  readonly epoch: Epoch;
  readonly value: ValueId;
  readonly dtype: Dtype;
  /** Of the whole array. */
  readonly dims: readonly number[];
  /** As `printSharding` writes it. */
  readonly sharding: string;
}

/** Hold this worker's block of one step's batch, read from a dataset directory. Existing values are replaced. */
export interface FeedMessage {
  readonly kind: "feed";
  readonly epoch: Epoch;
  readonly directory: string;
  readonly split: "train" | "heldout";
  readonly seed: number;
  readonly step: number;
  /** Rows of the whole batch, and tokens in a row. */
  readonly batch: number;
  readonly seq: number;
  readonly into: readonly FeedPort[];
}

export interface FeedPort {
  readonly array: "tokens" | "targets" | "mask";
  readonly value: ValueId;
  readonly sharding: string;
}

/**
 * Compute: `run(program, values in) → values out` is the only verb that does. Inputs and outputs stand in the order of the program's parameters
 * and outputs. Inputs named by `donate` are consumed, and their ids free for outputs. Answered once the outputs exist, whatever is queued behind.
 * Reply payload: the numbers that `told` asks for, in its order, 4 bytes each.
 *
 * When it fails, its outputs exist as failures: whoever uses them fails with the same error. With several workers the gang is then void: only
 * `reset` helps.
 */
export interface RunMessage {
  readonly kind: "run";
  readonly epoch: Epoch;
  readonly step: number;
  readonly program: ProgramHash;
  /** Absent: as in the last run of this program, which is what a train step is. */
  readonly values?: RunValues;
  /** Whether this is an update of the run's state: where tests let workers fail. */
  readonly update?: boolean;
  /** Whether the reply is to say when each call began and how long it took. */
  readonly trace?: boolean;
}

/** What a run is given, and what its results are called. */
export interface RunValues {
  readonly inputs: readonly ValueId[];
  /** null: forgotten at once. */
  readonly outputs: readonly (ValueId | null)[];
  readonly donate: readonly ValueId[];
  /** Outputs of one number, by their place, that the reply is to tell: what a step says of itself costs no message of its own. */
  readonly told: readonly number[];
}

/** What does one run of a program call on this worker, in order? It is the same on all workers of a gang. */
export interface DescribeMessage {
  readonly kind: "describe";
  readonly epoch: Epoch;
  readonly program: ProgramHash;
}

/** A call of a worker: a kernel, or the start or finish of a collective. */
export interface CallName {
  readonly kind: "product" | "kernel" | "fused" | "start" | "finish";
  /** Of the program; of a fused kernel that of its last value. */
  readonly op: string;
  /** Provenance of the value that it makes. */
  readonly name: string;
  readonly phase: string;
  /** Block of the model that the value belongs to. */
  readonly block?: number;
  /** Ops that a fused kernel joins. */
  readonly joins?: number;
}

/** Send this worker's block. Reply payload: the block, row-major, 4 bytes a number. */
export interface FetchMessage {
  readonly kind: "fetch";
  readonly epoch: Epoch;
  readonly value: ValueId;
}

/** Forget values; unknown ids are an error, for they betray a wrong ledger. */
export interface DropMessage {
  readonly kind: "drop";
  readonly epoch: Epoch;
  readonly values: readonly ValueId[];
}

/** What the worker holds, and where its time went. */
export interface StatsMessage {
  readonly kind: "stats";
  readonly epoch: Epoch;
}

/**
 * Keep a copy of this worker's blocks of some values in host memory, and give one to the next worker of the gang: when one of the two dies, the
 * other has what it held.
 *
 *     worker 0 ──► worker 1 ──► … ──► worker n-1 ──► worker 0         each keeps its own blocks and those of the one before it
 *
 * Copies outlive the gang (`reset` with `keepCopies`), but not the run. All but the newest that is not above `committed`, and what is newer, are
 * forgotten.
 */
export interface CopyMessage {
  readonly kind: "copy";
  readonly epoch: Epoch;
  /** The number of updates that the values have had. */
  readonly step: number;
  readonly values: readonly ValueId[];
  readonly committed: number;
}

/**
 * Open memory of the coordinator's, an image of files: where whole arrays are to lie in it. The answer says whether this worker can lay its blocks there; if not, the
 * coordinator has to fetch them.
 */
export interface ImageMessage {
  readonly kind: "image";
  readonly epoch: Epoch;
  /** What this machine calls it. */
  readonly path: string;
  readonly bytes: number;
  readonly places: readonly ImagePlace[];
}

/** The whole array of a value, row-major, lies from byte `begin` on. */
export interface ImagePlace {
  readonly value: ValueId;
  readonly begin: number;
}

/** Lay this worker's blocks in an image, those that no worker before it has as well. */
export interface SnapshotMessage {
  readonly kind: "snapshot";
  readonly epoch: Epoch;
  readonly path: string;
}

/** Which copies of the run does this worker hold, of whatever attempt? Those behind later updates than `latest` are forgotten: they do not count. */
export interface HoldingsMessage {
  readonly kind: "holdings";
  readonly epoch: Epoch;
  readonly latest: number;
}

/** Send a copy that is held here. Reply payload: its bytes. */
export interface LendMessage {
  readonly kind: "lend";
  readonly epoch: Epoch;
  readonly copy: CopyName;
}

/** Hold a copy that another worker lent. Payload: its bytes. */
export interface AdoptMessage {
  readonly kind: "adopt";
  readonly epoch: Epoch;
  readonly copy: CopyName;
  readonly entries: readonly CopyEntry[];
}

/** Make the values of this worker from the copy of its own blocks at a step. Existing values are replaced. */
export interface RestoreMessage {
  readonly kind: "restore";
  readonly epoch: Epoch;
  readonly step: number;
}

/** Whose blocks, and when. A worker of another layout has other blocks. */
export interface CopyName {
  readonly step: number;
  /** Rank whose blocks they are. */
  readonly worker: number;
  readonly workers: number;
  readonly mesh: string;
}

/** Where a block lies in a copy: bytes from `begin` on. */
export interface CopyEntry {
  readonly value: ValueId;
  readonly dtype: Dtype;
  /** Of the whole array. */
  readonly dims: readonly number[];
  readonly sharding: string;
  readonly begin: number;
  readonly bytes: number;
}

/** Leave the run: forget its values and programs, part from its peers. What is queued before it fails. The worker is then free for another run. */
export interface ResetMessage {
  readonly kind: "reset";
  readonly epoch: Epoch;
  /** Copies stay until this worker is configured for another run: the next attempt may want them. */
  readonly keepCopies?: boolean;
}

/** End this process, in good order. */
export interface ShutdownMessage {
  readonly kind: "shutdown";
  readonly epoch: Epoch;
}

/** What each message is answered with when it succeeds. */
export interface WorkerReplies {
  readonly configure: { readonly backend: "tensorflow" | "wasm" };
  /** Kernel calls of one run, as planned; 0 for the chipwise executor. */
  readonly load: { readonly kernels: number };
  readonly put: { readonly bytes: number };
  readonly feed: { readonly bytes: number };
  readonly run: RunReply;
  readonly describe: { readonly calls: readonly CallName[] };
  readonly fetch: { readonly dtype: Dtype; readonly dims: readonly number[]; readonly sharding: string };
  readonly drop: { readonly bytes: number };
  readonly stats: WorkerStats;
  /** Milliseconds of processor time that it took. */
  readonly copy: { readonly bytes: number; readonly ms: number };
  readonly image: { readonly opened: boolean };
  /**
   * Bytes that were laid; by place of the image, what this worker's block adds to the checksum (crc32) of the whole array: that of all workers together (xor),
   * inverted. Null where nobody sums it up.
   */
  readonly snapshot: { readonly bytes: number; readonly ms: number; readonly shares: readonly (number | null)[] };
  readonly holdings: { readonly copies: readonly CopyName[] };
  readonly lend: { readonly entries: readonly CopyEntry[] };
  readonly adopt: { readonly bytes: number };
  readonly restore: { readonly bytes: number };
  readonly reset: Readonly<Record<never, never>>;
  readonly shutdown: Readonly<Record<never, never>>;
}

export interface RunReply {
  readonly step: number;
  readonly kernelCalls: number;
  readonly total_ms: number;
  readonly gemm_ms: number;
  readonly otherKernels_ms: number;
  /** Part of otherKernels_ms: fused kernels. */
  readonly fused_ms: number;
  readonly fabricWait_ms: number;
  /** Where it was asked for: when the run began (one clock for all processes of a machine), and three numbers a call in the order of `describe`: begin, length, waiting. */
  readonly trace?: { readonly began_ms: number; readonly calls_us: readonly number[] };
}

export interface WorkerStats {
  readonly backend: "tensorflow" | "wasm";
  readonly pid: number;
  /** Bytes of this worker's block of every value. */
  readonly values: { readonly [value: ValueId]: number };
  /** Kernels called since the process began. */
  readonly kernelCalls: number;
  /** Tensors that the backend holds: values, constants of programs. */
  readonly tensors: number;
  /** Resident memory of the process. */
  readonly rss_bytes: number;
  readonly programs: { readonly [program: ProgramHash]: ProgramStats };
}

/** Sums over the runs of a program on this worker. */
export interface ProgramStats {
  readonly runs: number;
  readonly total_ms: number;
  readonly gemm_ms: number;
  readonly otherKernels_ms: number;
  /** Part of otherKernels_ms: fused kernels. */
  readonly fused_ms: number;
  readonly fabricWait_ms: number;
}

export type MessageKind = WorkerMessage["kind"];
export type MessageOf<K extends MessageKind> = Extract<WorkerMessage, { readonly kind: K }>;

/** On the wire a message is numbered, and its answer bears its number. */
export type Envelope = WorkerMessage & { readonly id: number };

/**
 * What a worker sends: `ready` once a channel, unasked, when its kernels are loaded and it has left the gang of an earlier coordinator; then answers. `log`
 * is a line for whom its stderr does not reach.
 */
export type WorkerAnswer =
  | {
      readonly kind: "ready";
      readonly backend: "tensorflow" | "wasm";
      readonly fallbackReason: string | null;
      readonly holds: Holding | null;
    }
  | { readonly kind: "log"; readonly line: string }
  | { readonly kind: "reply"; readonly id: number; readonly reply: JsonValue }
  | { readonly kind: "error"; readonly id: number; readonly error: ErrorJSON };

/** Of this file: to be counted up when a worker of an earlier build would misunderstand a message. Such a worker is not taken over. */
export const protocolVersion = 2;

/** Copies that a worker holds: of this run, made as its worker number so and so. */
export interface Holding {
  readonly run: string;
  readonly worker: number;
}

/** What a worker says of itself when it connects. */
export interface WorkerHello {
  readonly name: string;
  readonly pid: number;
  /** Set on a channel that carries signs of life alone, from a thread that does not compute. */
  readonly pulse?: boolean;
}

/** Signs of life go out this often, and a worker that gives none for so long is given up. */
export const pulseTimes = { everyMs: 250, deadlineMs: 3000, turnsEveryMs: 500 } as const;

/** On the channel of the signs of life: how often the main thread has come by its event loop so far. */
export interface PulseMessage {
  readonly turns: number;
}

/** Programs and blocks may be large. */
export const controlLimits = { headerBytes: 16 * 2 ** 20, payloadBytes: 2 ** 32 - 1 } as const;
