import type { ErrorJSON, JsonValue } from "@lapidary/std";
import type { StagedTensor } from "./checkpoint-layout.js";
import type { Epoch, Handle, MessageId, ProgramHash, StepIndex, UpdateCount, WorkerRank } from "./ids.js";
import type { TensorSpec } from "./tensor-spec.js";

/** `stacked` trains. `chipwise` is the reference: it has one value for each chip, in a single worker. */
export type ExecutorName = "stacked" | "chipwise";
export type NumericsName = "f32" | "mxu";
export type BackendName = "tensorflow" | "wasm";

/**
 * All messages of a coordinator to a worker. A worker does nothing else.
 *
 * A worker belongs to at most one run at a time, from `configure` to `reset`. It executes messages one after the other, in the order of arrival. Many
 * messages may be in flight. The worker answers each message once, in the same order, with a reply or an error. It refuses a message of an older epoch
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
  | ReplicateMessage
  | OpenStagingMessage
  | StageMessage
  | ListReplicasMessage
  | FetchReplicaMessage
  | StoreReplicaMessage
  | RestoreMessage
  | ResetMessage
  | ShutdownMessage;

/** Join a run as number `worker` of `workers`. If there are several, the worker replies after it has connected to all others. */
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

/** Keep a per-chip program under the hash of its text without blocks. Idempotent. Payload: the text (`printGraph`), in UTF-8. */
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

/** An array of a batch, and the array that the worker keeps it as. */
export interface FeedPort {
  /** `segments` only of a dataset of rows. */
  readonly array: "tokens" | "targets" | "mask" | "segments";
  readonly tensor: TensorSpec;
}

/**
 * Run a program: `run(program, arrays in) → arrays out`. No other message computes. Inputs and outputs are in the order of the program's parameters
 * and outputs. The run consumes the inputs that `donate` names, and outputs may take their ids. The worker answers when the outputs exist.
 * Reply payload: the outputs whose indices `told` lists, in its order, 4 bytes each.
 *
 * If the run fails, each output stores the failure, and every later use fails with the same error. A group of several workers then accepts only
 * `reset`.
 */
export interface RunMessage {
  readonly kind: "run";
  readonly epoch: Epoch;
  readonly step: StepIndex;
  readonly program: ProgramHash;
  /** Absent: as in the last run of this program. */
  readonly values?: RunValues;
  /** Further runs, each of which consumes what the run before it has created. Absent: none. The reply has the scalars of the last run. */
  readonly repeats?: number;
  /** Whether this run updates the state. Failpoints fire only in updates. */
  readonly update?: boolean;
  /** Whether the reply says when each call began and how long it took. */
  readonly trace?: boolean;
}

/** Inputs of a run, and the ids of its results. */
export interface RunValues {
  readonly inputs: readonly Handle[];
  /** null: the worker does not keep this output. */
  readonly outputs: readonly (Handle | null)[];
  readonly donate: readonly Handle[];
  /** Indices of outputs of one number that the reply returns. */
  readonly told: readonly number[];
}

/** Return the calls that one run of a program makes on this worker, in order. All workers of a group give the same answer. */
interface DescribeMessage {
  readonly kind: "describe";
  readonly epoch: Epoch;
  readonly program: ProgramHash;
}

/** A call of a worker: a kernel, or the start or finish of a collective. */
export interface CallName {
  readonly kind: "product" | "kernel" | "fused" | "start" | "finish";
  /** An op of the program. For a fused kernel: the op of its last value. */
  readonly op: string;
  /** Provenance of the value that the call computes. */
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

/** Free arrays. An unknown id is an error, because coordinator and worker disagree about the arrays that exist. */
export interface DropMessage {
  readonly kind: "drop";
  readonly epoch: Epoch;
  readonly values: readonly Handle[];
}

/** Return the arrays of this worker, and how it spent its time. */
interface StatsMessage {
  readonly kind: "stats";
  readonly epoch: Epoch;
}

/**
 * Keep a replica of this worker's blocks of some arrays in host memory, and replicate them to the next worker of the group. If one of the two exits,
 * the other has its blocks.
 *
 *     worker 0 ──► worker 1 ──► … ──► worker n-1 ──► worker 0         each keeps its own blocks and those of the previous worker
 *
 * Replicas outlive the group (`reset` with `keepCopies`), but not the run. The worker keeps the newest replica of at most `committed` updates, and all
 * newer replicas. It frees the others.
 */
export interface ReplicateMessage {
  readonly kind: "copy";
  readonly epoch: Epoch;
  readonly step: UpdateCount;
  readonly values: readonly Handle[];
  readonly committed: UpdateCount;
}

/**
 * Open a staging buffer of the coordinator, in which a checkpoint is assembled. The reply says whether this worker can write its blocks into it. If
 * not, the coordinator fetches them.
 */
export interface OpenStagingMessage {
  readonly kind: "image";
  readonly epoch: Epoch;
  /** Path of the shared memory on this machine. */
  readonly path: string;
  readonly bytes: number;
  readonly tensors: readonly StagedTensor[];
}

/** Write this worker's blocks into a staging buffer, at the segments of `stagedBlocks`. */
export interface StageMessage {
  readonly kind: "snapshot";
  readonly epoch: Epoch;
  readonly path: string;
}

/** Return the replicas of the run, of any attempt. The worker first frees those of more updates than `latest`, because such updates do not count. */
interface ListReplicasMessage {
  readonly kind: "holdings";
  readonly epoch: Epoch;
  readonly latest: UpdateCount;
}

/** Send a replica. Reply payload: its bytes. */
interface FetchReplicaMessage {
  readonly kind: "lend";
  readonly epoch: Epoch;
  readonly copy: ReplicaName;
}

/** Keep a replica that another worker sent. Payload: its bytes. */
export interface StoreReplicaMessage {
  readonly kind: "adopt";
  readonly epoch: Epoch;
  readonly copy: ReplicaName;
  readonly entries: readonly ReplicaEntry[];
}

/** Make the arrays of this worker from the replica of its own blocks. Existing arrays are replaced. */
interface RestoreMessage {
  readonly kind: "restore";
  readonly epoch: Epoch;
  readonly step: UpdateCount;
}

/** The worker whose blocks a replica has, and the number of updates. A worker of another layout has other blocks. */
export interface ReplicaName {
  readonly step: UpdateCount;
  /** Rank of the worker that owns the blocks. */
  readonly worker: WorkerRank;
  readonly workers: number;
  readonly mesh: string;
}

/** The position of a block in a replica: `bytes` bytes from `begin` on. */
export interface ReplicaEntry {
  readonly tensor: TensorSpec;
  readonly begin: number;
  readonly bytes: number;
}

/**
 * Leave the run: free its arrays and programs, and disconnect from the peers. Messages that wait before this one fail. The worker can then join another
 * run.
 */
export interface ResetMessage {
  readonly kind: "reset";
  readonly epoch: Epoch;
  /** Keep the replicas until this worker joins another run, because the next attempt may restore from them. */
  readonly keepCopies?: boolean;
}

/** End the process after the reply. */
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
  /** `ms`: processor time, in milliseconds. */
  readonly copy: { readonly bytes: number; readonly ms: number };
  readonly image: { readonly opened: boolean };
  /**
   * Bytes that the worker wrote. `shares`, by array of the staging buffer: the share of its block in the checksum (crc32) of the whole array. The
   * checksum is the xor of the shares of all workers, inverted. Null: the workers do not compute it.
   */
  readonly snapshot: { readonly bytes: number; readonly ms: number; readonly shares: readonly (number | null)[] };
  readonly holdings: { readonly copies: readonly ReplicaName[] };
  readonly lend: { readonly entries: readonly ReplicaEntry[] };
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
  /**
   * Only if the message asks for it. `began_ms`: start of the run, by one clock for all processes of a machine. `calls_us`: three numbers for each call
   * of `describe`: start, length and wait.
   */
  readonly trace?: { readonly began_ms: number; readonly calls_us: readonly number[] };
}

export interface WorkerStats {
  readonly backend: BackendName;
  readonly pid: number;
  /** Bytes of this worker's block of every array. */
  readonly values: { readonly [handle in Handle]: number };
  /** Kernels called since the process started. */
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

/** On the wire a message has a number. Its answer has the same number. */
export type Envelope<M extends WorkerMessage = WorkerMessage> = M & { readonly id: MessageId };

/**
 * What a worker sends. It sends `ready` once per channel, when its kernels are loaded and it has left the group of an earlier coordinator. Then it sends
 * answers. `log` is a line for a coordinator that does not read the stderr of the process.
 */
export type WorkerAnswer =
  | {
      readonly kind: "ready";
      readonly backend: BackendName;
      readonly fallbackReason: string | null;
      readonly holds: HeldReplicas | null;
    }
  | { readonly kind: "log"; readonly line: string }
  /** `decodeReply` decodes the reply: it depends on the message. */
  | { readonly kind: "reply"; readonly id: MessageId; readonly reply: JsonValue }
  | { readonly kind: "error"; readonly id: MessageId; readonly error: ErrorJSON };

/** The run whose replicas a worker holds, and its rank in that run. */
export interface HeldReplicas {
  readonly run: string;
  readonly worker: WorkerRank;
}

/** The hello of a worker. */
export interface WorkerHello {
  readonly name: string;
  readonly pid: number;
  /** The result of `buildId` in that process. */
  readonly build: string;
  /** True on a channel that carries only heartbeats, from a thread that does not compute. */
  readonly pulse?: boolean;
}

/** The hello of the coordinator. */
export interface PoolHello {
  readonly name: string;
  readonly build: string;
}

/** Where a neighbour can read a replica: a worker sends this to the next worker. */
export interface BufferHandle {
  /** Path of the shared buffer. Null: the replica is not in shared memory and must be sent. */
  readonly path: string | null;
  /** Id of the buffer. A path can name another buffer later. */
  readonly id: string;
  /** Number of the replica among those that were written into this buffer. */
  readonly generation: number;
  /** Ids of all buffers of this worker. The neighbour may unmap every other one. */
  readonly buffers: readonly string[];
}

/** Intervals of heartbeats, and the silence after which the coordinator evicts a worker. */
export const heartbeatTimes = { everyMs: 250, deadlineMs: 3000, ticksEveryMs: 500 } as const;

/** Programs and blocks may be large. */
export const controlLimits = { headerBytes: 16 * 2 ** 20, payloadBytes: 2 ** 32 - 1 } as const;
