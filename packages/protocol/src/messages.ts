import type { ErrorJSON, JsonValue } from "@lapidary/std";
import type { StagedTensor } from "./checkpoint-layout.js";
import type { Epoch, Handle, MessageId, ProgramHash, StepIndex, UpdateCount, WorkerRank } from "./ids.js";
import type { TensorSpec } from "./tensor-spec.js";

/** `stacked` trains; `chipwise`, one value a chip in a single worker, is the reference. */
export type ExecutorName = "stacked" | "chipwise";
export type NumericsName = "f32" | "mxu";
export type BackendName = "tensorflow" | "wasm";

/**
 * All messages of a coordinator to a worker. This union *is* the worker's behaviour: a worker does nothing else.
 *
 * A worker belongs to at most one run at a time, from `configure` to `reset`. It executes messages one after the other, in the order in which they
 * come; many may be in flight. It answers each once, in that order, by its reply or by an error. It refuses a message of an epoch older than its own
 * with LAP_WORKER_STALE.
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
  readonly worker: WorkerRank;
  readonly workers: number;
  /** As `printMesh` writes it. `makeWorkerGrid` gives the grid of workers over it. */
  readonly mesh: string;
  readonly executor: ExecutorName;
  readonly numerics: NumericsName;
  /** Socket of each worker while the group assembles. */
  readonly peers: readonly string[];
}

/** Keep a per-chip program under its hash (of the text without blocks); idempotent. Payload: its text (`printGraph`), in UTF-8. */
interface LoadMessage {
  readonly kind: "load";
  readonly epoch: Epoch;
  readonly program: ProgramHash;
}

/** Keep this worker's block of a whole array. Payload: the block, row-major, 4 bytes a number. An existing array is replaced. */
export interface PutMessage {
  readonly kind: "put";
  readonly epoch: Epoch;
  readonly tensor: TensorSpec;
}

/** Keep this worker's block of one step's batch, read from a dataset directory. Existing arrays are replaced. */
export interface FeedMessage {
  readonly kind: "feed";
  readonly epoch: Epoch;
  readonly directory: string;
  readonly split: "train" | "heldout";
  readonly seed: number;
  /** Number of the batch in its split. */
  readonly step: number;
  /** Rows of the whole batch, and tokens in a row. */
  readonly batch: number;
  readonly seq: number;
  readonly into: readonly FeedPort[];
}

/** An array of a batch, and what it becomes. */
export interface FeedPort {
  readonly array: "tokens" | "targets" | "mask";
  readonly tensor: TensorSpec;
}

/**
 * Compute: `run(program, arrays in) → arrays out` is the only verb that does. Inputs and outputs are in the order of the program's parameters
 * and outputs. The run consumes the inputs that `donate` names, and outputs may take their ids. The worker answers once the outputs exist.
 * Reply payload: the numbers that `told` asks for, in its order, 4 bytes each.
 *
 * If the run fails, its outputs exist as failures: every later use fails with the same error. A group of several workers is then void: only
 * `reset` helps.
 */
export interface RunMessage {
  readonly kind: "run";
  readonly epoch: Epoch;
  readonly step: StepIndex;
  readonly program: ProgramHash;
  /** Absent: as in the last run of this program. */
  readonly values?: RunValues;
  /** Whether this is an update of the run's state: where tests let workers fail. */
  readonly update?: boolean;
  /** Whether the reply says when each call began and how long it took. */
  readonly trace?: boolean;
}

/** Inputs of a run, and the ids of its results. */
export interface RunValues {
  readonly inputs: readonly Handle[];
  /** null: not kept. */
  readonly outputs: readonly (Handle | null)[];
  readonly donate: readonly Handle[];
  /** Indices of outputs of one number that the reply returns. */
  readonly told: readonly number[];
}

/** Which calls does one run of a program make on this worker, in order? All workers of a group give the same answer. */
interface DescribeMessage {
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
  readonly value: Handle;
}

/** Free arrays. An unknown id is an error: coordinator and worker disagree about what exists. */
export interface DropMessage {
  readonly kind: "drop";
  readonly epoch: Epoch;
  readonly values: readonly Handle[];
}

/** Which arrays does the worker have, and where did its time go? */
interface StatsMessage {
  readonly kind: "stats";
  readonly epoch: Epoch;
}

/**
 * Keep a replica of this worker's blocks of some arrays in host memory, and give one to the next worker of the group. If one of the two dies, the
 * other has its blocks.
 *
 *     worker 0 ──► worker 1 ──► … ──► worker n-1 ──► worker 0         each keeps its own blocks and those of the one before it
 *
 * Replicas outlive the group (`reset` with `keepCopies`), but not the run. The worker keeps the newest replica that is not above `committed`, and
 * newer ones; it frees the others.
 */
export interface CopyMessage {
  readonly kind: "copy";
  readonly epoch: Epoch;
  readonly step: UpdateCount;
  readonly values: readonly Handle[];
  readonly committed: UpdateCount;
}

/**
 * Open a staging buffer of the coordinator, in which a checkpoint is assembled. The reply says whether this worker can write its blocks there. If
 * not, the coordinator has to fetch them.
 */
export interface ImageMessage {
  readonly kind: "image";
  readonly epoch: Epoch;
  /** Of the memory, on this machine. */
  readonly path: string;
  readonly bytes: number;
  readonly tensors: readonly StagedTensor[];
}

/** Write this worker's blocks into a staging buffer: the segments that `stagedBlocks` gives. */
export interface SnapshotMessage {
  readonly kind: "snapshot";
  readonly epoch: Epoch;
  readonly path: string;
}

/** Which replicas of the run does this worker have, of whatever attempt? It frees those of more updates than `latest`: they do not count. */
interface HoldingsMessage {
  readonly kind: "holdings";
  readonly epoch: Epoch;
  readonly latest: UpdateCount;
}

/** Send a replica. Reply payload: its bytes. */
interface LendMessage {
  readonly kind: "lend";
  readonly epoch: Epoch;
  readonly copy: CopyName;
}

/** Keep a replica that another worker sent. Payload: its bytes. */
export interface AdoptMessage {
  readonly kind: "adopt";
  readonly epoch: Epoch;
  readonly copy: CopyName;
  readonly entries: readonly CopyEntry[];
}

/** Make the arrays of this worker from the replica of its own blocks. Existing arrays are replaced. */
interface RestoreMessage {
  readonly kind: "restore";
  readonly epoch: Epoch;
  readonly step: UpdateCount;
}

/** Whose blocks a replica has, and after how many updates. A worker of another layout has other blocks. */
export interface CopyName {
  readonly step: UpdateCount;
  /** Rank of the worker whose blocks they are. */
  readonly worker: WorkerRank;
  readonly workers: number;
  readonly mesh: string;
}

/** Where a block is in a replica: bytes from `begin` on. */
export interface CopyEntry {
  readonly tensor: TensorSpec;
  readonly begin: number;
  readonly bytes: number;
}

/** Leave the run: free its arrays and programs, disconnect from its peers. Messages that wait before it fail. The worker is then free for another run. */
export interface ResetMessage {
  readonly kind: "reset";
  readonly epoch: Epoch;
  /** Replicas stay until this worker is configured for another run: the next attempt may restore from them. */
  readonly keepCopies?: boolean;
}

/** End this process in good order. */
interface ShutdownMessage {
  readonly kind: "shutdown";
  readonly epoch: Epoch;
}

/** The reply to each message that succeeds. */
export interface WorkerReplies {
  readonly configure: { readonly backend: BackendName };
  /** Kernel calls of one run, as planned; 0 for the chipwise executor. */
  readonly load: { readonly kernels: number };
  readonly put: { readonly bytes: number };
  readonly feed: { readonly bytes: number };
  readonly run: RunReply;
  readonly describe: { readonly calls: readonly CallName[] };
  readonly fetch: { readonly tensor: TensorSpec };
  readonly drop: { readonly bytes: number };
  readonly stats: WorkerStats;
  /** Milliseconds of processor time that it took. */
  readonly copy: { readonly bytes: number; readonly ms: number };
  readonly image: { readonly opened: boolean };
  /**
   * Bytes that the worker wrote; by array of the staging buffer, what its block adds to the checksum (crc32) of the whole array. The checksum is
   * that of all workers together (xor), inverted. Null: the workers do not compute it.
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
  readonly step: StepIndex;
  readonly kernelCalls: number;
  readonly total_ms: number;
  readonly gemm_ms: number;
  readonly otherKernels_ms: number;
  /** Part of otherKernels_ms: fused kernels. */
  readonly fused_ms: number;
  readonly fabricWait_ms: number;
  /** If the message asked for it: when the run began (one clock for all processes of a machine), and three numbers a call in the order of `describe`: begin, length, waiting. */
  readonly trace?: { readonly began_ms: number; readonly calls_us: readonly number[] };
}

export interface WorkerStats {
  readonly backend: BackendName;
  readonly pid: number;
  /** Bytes of this worker's block of every array. */
  readonly values: { readonly [handle in Handle]: number };
  /** Kernels called since the process began. */
  readonly kernelCalls: number;
  /** Tensors of the backend: arrays, constants of programs. */
  readonly tensors: number;
  /** Resident memory of the process. */
  readonly rss_bytes: number;
  readonly programs: { readonly [program in ProgramHash]: ProgramStats };
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

/** On the wire a message has a number, and its answer has the same. */
export type Envelope<M extends WorkerMessage = WorkerMessage> = M & { readonly id: MessageId };

/**
 * What a worker sends: `ready` once a channel, unasked, when its kernels are loaded and it has left the group of an earlier coordinator; then answers.
 * `log` is a line for a coordinator that does not read the stderr of the process.
 */
export type WorkerAnswer =
  | {
      readonly kind: "ready";
      readonly backend: BackendName;
      readonly fallbackReason: string | null;
      readonly holds: Holding | null;
    }
  | { readonly kind: "log"; readonly line: string }
  /** `decodeReply` decodes the reply: it depends on the message. */
  | { readonly kind: "reply"; readonly id: MessageId; readonly reply: JsonValue }
  | { readonly kind: "error"; readonly id: MessageId; readonly error: ErrorJSON };

/** The replicas of a worker: of this run, made as its worker number `worker`. */
export interface Holding {
  readonly run: string;
  readonly worker: WorkerRank;
}

/** What a worker says of itself when it connects. */
export interface WorkerHello {
  readonly name: string;
  readonly pid: number;
  /** As `buildId` gives it. */
  readonly build: string;
  /** True on a channel for heartbeats alone, from a thread that does not compute. */
  readonly pulse?: boolean;
}

/** What the coordinator says of itself. */
export interface PoolHello {
  readonly name: string;
  readonly build: string;
}

/** What a worker tells its neighbour of a replica: where it is. */
export interface CopyOffer {
  /** Null: nowhere, it has to be sent. */
  readonly path: string | null;
  /** Of this memory alone: a path may come to mean other memory. */
  readonly id: string;
  /** Which of the replicas that were written there it is. */
  readonly laying: number;
  /** All memory that this worker has: the neighbour may forget what is not listed. */
  readonly rooms: readonly string[];
}

/** Intervals of heartbeats, and the silence after which a worker is given up. */
export const pulseTimes = { everyMs: 250, deadlineMs: 3000, turnsEveryMs: 500 } as const;

/** On the channel for heartbeats: how often the main thread has passed its event loop so far. */
export interface PulseMessage {
  readonly turns: number;
}

/** Programs and blocks may be large. */
export const controlLimits = { headerBytes: 16 * 2 ** 20, payloadBytes: 2 ** 32 - 1 } as const;
