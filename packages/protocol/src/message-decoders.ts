import { type ErrorCode, type ErrorJSON, ExitCode, type JsonValue, LapidaryError, type UnknownErrorCode, asJson } from "@lapidary/std";
import { stagedTensorDecoder } from "./checkpoint-layout.js";
import {
  type Decoder,
  DecodeFailure,
  branded,
  count,
  describeFailure,
  dictionary,
  finite,
  flag,
  list,
  nullable,
  oneOf,
  optional,
  record,
  text,
  union,
} from "./decode.js";
import type { Epoch, Handle, MessageId, ProgramHash, StepIndex, UpdateCount, WorkerRank } from "./ids.js";
import type {
  BackendName,
  CallName,
  ReplicaEntry,
  ReplicaName,
  BufferHandle,
  Envelope,
  FeedPort,
  HeldReplicas,
  MessageKind,
  MessageOf,
  ProgramStats,
  ResetMessage,
  RunMessage,
  RunReply,
  RunValues,
  WorkerAnswer,
  WorkerHello,
  WorkerMessage,
  WorkerReplies,
  WorkerStats,
} from "./messages.js";
import { tensorSpecDecoder } from "./tensor-spec.js";

const epoch = branded<Epoch>(count);
const rank = branded<WorkerRank>(count);
const step = branded<StepIndex>(count);
const updates = branded<UpdateCount>(count);
const id = branded<MessageId>(count);
const handle = branded<Handle>(text);
const program = branded<ProgramHash>(text);
const backend = oneOf<BackendName>("tensorflow", "wasm");
const bytes = count;
const ms = finite;

const copyName = record<ReplicaName>({ step: updates, worker: rank, workers: count, mesh: text });
const copyEntry = record<ReplicaEntry>({ tensor: tensorSpecDecoder, begin: count, bytes });
const feedPort = record<FeedPort>({ array: oneOf("tokens", "targets", "mask", "segments"), tensor: tensorSpecDecoder });
const runValues = record<RunValues>({
  inputs: list(handle),
  outputs: list(nullable(handle)),
  donate: list(handle),
  told: list(count),
});
const holding = record<HeldReplicas>({ run: text, worker: rank });

/** Every message as a channel delivers it. */
const messages: { readonly [K in MessageKind]: Decoder<Envelope<MessageOf<K>>> } = {
  configure: record({
    kind: oneOf("configure"),
    id,
    epoch,
    run: text,
    worker: rank,
    workers: count,
    mesh: text,
    executor: oneOf("stacked", "chipwise"),
    numerics: oneOf("f32", "mxu"),
    peers: list(text),
  }),
  load: record({ kind: oneOf("load"), id, epoch, program }),
  put: record({ kind: oneOf("put"), id, epoch, tensor: tensorSpecDecoder }),
  feed: record({
    kind: oneOf("feed"),
    id,
    epoch,
    directory: text,
    split: oneOf("train", "heldout"),
    seed: count,
    step: count,
    batch: count,
    seq: count,
    into: list(feedPort),
  }),
  run: record<Envelope<RunMessage>>({
    kind: oneOf("run"),
    id,
    epoch,
    step,
    program,
    values: optional(runValues),
    repeats: optional(count),
    update: optional(flag),
    trace: optional(flag),
  }),
  describe: record({ kind: oneOf("describe"), id, epoch, program }),
  fetch: record({ kind: oneOf("fetch"), id, epoch, value: handle }),
  drop: record({ kind: oneOf("drop"), id, epoch, values: list(handle) }),
  stats: record({ kind: oneOf("stats"), id, epoch }),
  copy: record({ kind: oneOf("copy"), id, epoch, step: updates, values: list(handle), committed: updates }),
  image: record({ kind: oneOf("image"), id, epoch, path: text, bytes, tensors: list(stagedTensorDecoder) }),
  snapshot: record({ kind: oneOf("snapshot"), id, epoch, path: text }),
  holdings: record({ kind: oneOf("holdings"), id, epoch, latest: updates }),
  lend: record({ kind: oneOf("lend"), id, epoch, copy: copyName }),
  adopt: record({ kind: oneOf("adopt"), id, epoch, copy: copyName, entries: list(copyEntry) }),
  restore: record({ kind: oneOf("restore"), id, epoch, step: updates }),
  reset: record<Envelope<ResetMessage>>({ kind: oneOf("reset"), id, epoch, keepCopies: optional(flag) }),
  shutdown: record({ kind: oneOf("shutdown"), id, epoch }),
};

const callName = record<CallName>({
  kind: oneOf("product", "kernel", "fused", "start", "finish"),
  op: text,
  name: text,
  phase: text,
  block: optional(count),
  joins: optional(count),
});

const programStats = record<ProgramStats>({
  runs: count,
  total_ms: ms,
  gemm_ms: ms,
  otherKernels_ms: ms,
  fused_ms: ms,
  fabricWait_ms: ms,
});

const replies: { readonly [K in MessageKind]: Decoder<WorkerReplies[K]> } = {
  configure: record({ backend }),
  load: record({ kernels: count }),
  put: record({ bytes }),
  feed: record({ bytes }),
  run: record<RunReply>({
    step,
    kernelCalls: count,
    total_ms: ms,
    gemm_ms: ms,
    otherKernels_ms: ms,
    fused_ms: ms,
    fabricWait_ms: ms,
    trace: optional(record({ began_ms: ms, calls_us: list(finite) })),
  }),
  describe: record({ calls: list(callName) }),
  fetch: record({ tensor: tensorSpecDecoder }),
  drop: record({ bytes }),
  stats: record<WorkerStats>({
    backend,
    pid: count,
    values: dictionary<Handle, number>(bytes),
    kernelCalls: count,
    tensors: count,
    rss_bytes: bytes,
    programs: dictionary<ProgramHash, ProgramStats>(programStats),
  }),
  copy: record({ bytes, ms }),
  image: record({ opened: flag }),
  snapshot: record({ bytes, ms, shares: list(nullable(count)) }),
  holdings: record({ copies: list(copyName) }),
  lend: record({ entries: list(copyEntry) }),
  adopt: record({ bytes }),
  restore: record({ bytes }),
  reset: record({}),
  shutdown: record({}),
};

const json: Decoder<JsonValue> = {
  decode: (value) => {
    if (value === undefined) throw new DecodeFailure("a reply", value);
    return value as JsonValue;
  },
};

const errorDecoder = record<ErrorJSON>({
  code: branded<ErrorCode | UnknownErrorCode>(text),
  message: text,
  place: optional(text),
  remedy: text,
  exit: oneOf(...Object.values(ExitCode)),
});

const answers = union<"kind", WorkerAnswer>("kind", {
  ready: record({ kind: oneOf("ready"), backend, fallbackReason: nullable(text), holds: nullable(holding) }),
  log: record({ kind: oneOf("log"), line: text }),
  reply: record({ kind: oneOf("reply"), id, reply: json }),
  error: record({ kind: oneOf("error"), id, error: errorDecoder }),
});

const workerHello = record<WorkerHello>({ name: text, pid: count, build: text, pulse: optional(flag) });

/** `BufferHandle` on the wire, where two fields have older names. */
interface WireBufferHandle {
  readonly path: string | null;
  readonly id: string;
  readonly laying: number;
  readonly rooms: readonly string[];
}
const wireBufferHandle = record<WireBufferHandle>({ path: nullable(text), id: text, laying: count, rooms: list(text) });
/** On the channel for heartbeats. `turns` on the wire: the number of ticks of the main thread's event loop. */
interface WireHeartbeat {
  readonly turns: number;
}
const wireHeartbeat = record<WireHeartbeat>({ turns: count });
const envelope = union<"kind", Envelope>("kind", messages);

/** The other end of a channel. */
export interface Peer {
  /** `worker w3`, `the coordinator`. */
  readonly name: string;
  /** The result of `buildId` in that process. */
  readonly build: string;
}

/** The error for a message that does not follow the protocol. */
export function malformedError({ name, build }: Peer, what: string, failure: DecodeFailure): LapidaryError {
  const field = failure.field === "" ? what : `${what}, field ${failure.field}`;
  return new LapidaryError({
    code: "LAP_PROTOCOL_MALFORMED",
    message: `${name} of build ${build} sent a malformed ${field}: ${describeFailure(failure)}`,
    location: failure.field === "" ? what : failure.field,
    cause: failure,
  });
}

function decodeFrom<T>(of: Decoder<T>, value: JsonValue, from: Peer, what: string): T {
  try {
    return of.decode(value);
  } catch (error) {
    throw error instanceof DecodeFailure ? malformedError(from, what, error) : error;
  }
}

/** A message to a worker. @throws LAP_PROTOCOL_MALFORMED naming the field */
export const decodeMessage = (header: JsonValue, from: Peer): Envelope => decodeFrom(envelope, header, from, "message");

/** The number of a malformed message, so that the error can be sent as its answer. Undefined if the number is malformed too. */
export function idOfMalformed(header: JsonValue): MessageId | undefined {
  const found = typeof header === "object" && header !== null && "id" in header ? header.id : undefined;
  return typeof found === "number" && Number.isSafeInteger(found) && found >= 0 ? (found as MessageId) : undefined;
}

/** What a worker sent. `decodeReply` decodes the reply in it. @throws LAP_PROTOCOL_MALFORMED naming the field */
export const decodeAnswer = (header: JsonValue, from: Peer): WorkerAnswer => decodeFrom(answers, header, from, "answer");

/** The reply to a message of a kind. @throws LAP_PROTOCOL_MALFORMED naming the field */
export const decodeReply = <K extends MessageKind>(kind: K, reply: JsonValue, from: Peer): WorkerReplies[K] =>
  decodeFrom(replies[kind], reply, from, `reply to ${kind}`);

/** A heartbeat as a channel sends it. @param eventLoopTicks of the main thread, since the process started */
export const encodeHeartbeat = (eventLoopTicks: number): JsonValue => asJson({ turns: eventLoopTicks } satisfies WireHeartbeat);

/** @returns the ticks of the worker's event loop. @throws LAP_PROTOCOL_MALFORMED naming the field */
export const decodeHeartbeat = (header: JsonValue, from: Peer): number => decodeFrom(wireHeartbeat, header, from, "heartbeat").turns;

/** @throws LAP_PROTOCOL_MALFORMED naming the field */
export const decodeWorkerHello = (hello: JsonValue): WorkerHello =>
  decodeFrom(workerHello, hello, { name: "a process", build: buildIn(hello) }, "hello");

/** The coordinator at the other end of a worker's channel. Its build is "unknown" if its hello does not have it. */
export const coordinatorPeer = (hello: JsonValue): Peer => ({ name: "the coordinator", build: buildIn(hello) });

function buildIn(hello: JsonValue): string {
  const found = typeof hello === "object" && hello !== null && "build" in hello ? hello.build : undefined;
  return typeof found === "string" ? found : "unknown";
}

/** A buffer handle as a worker sends it to its neighbour. */
export const encodeBufferHandle = ({ path, id, generation, buffers }: BufferHandle): JsonValue =>
  asJson({ path, id, laying: generation, rooms: buffers } satisfies WireBufferHandle);

/** The buffer handle of a neighbour. @throws LAP_PROTOCOL_MALFORMED naming the field */
export function decodeBufferHandle(handle: JsonValue, from: Peer): BufferHandle {
  const { path, id, laying, rooms } = decodeFrom(wireBufferHandle, handle, from, "offer");
  return { path, id, generation: laying, buffers: rooms };
}

/** A message as a channel sends it. */
export const encodeMessage = (message: WorkerMessage, number: MessageId): JsonValue => asJson({ ...message, id: number });

/** An answer as a channel sends it. */
export const encodeAnswer = (answer: WorkerAnswer): JsonValue => asJson(answer);

/** A reply as a part of an answer. */
export const encodeReply = (reply: WorkerReplies[MessageKind]): JsonValue => asJson(reply);
