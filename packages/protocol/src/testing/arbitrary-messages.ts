import { dtypes, valueRoles } from "@lapidary/ir";
import { ExitCode } from "@lapidary/std";
import fc from "fast-check";
import type { MessageKind, MessageOf, WorkerAnswer, WorkerReplies } from "../messages.js";
import type { TensorSpec } from "../tensor-spec.js";
import type { Unbranded } from "./messages.js";

// A generator for each message, reply and answer. TypeScript refuses a new message without a generator.

const count = fc.nat();
const name = fc.string({ minLength: 1, maxLength: 12 });
const ms = fc.double({ noNaN: true, noDefaultInfinity: true, min: 0, max: 1e6 }).map((value) => (Object.is(value, -0) ? 0 : value));
const bytes = fc.nat();
const backend = fc.constantFrom("tensorflow" as const, "wasm" as const);
const atoms = fc.uniqueArray(fc.nat({ max: 9 }), { maxLength: 3 });

const tensor: fc.Arbitrary<Unbranded<TensorSpec>> = fc.record(
  {
    id: name,
    dtype: fc.constantFrom(...dtypes),
    dims: fc.array(count, { maxLength: 3 }),
    sharding: fc.record({ dims: fc.array(atoms, { maxLength: 3 }), unreduced: atoms, reduction: fc.constantFrom("sum", "max", "min") }),
    role: fc.constantFrom(...valueRoles),
  },
  { requiredKeys: ["id", "dtype", "dims", "sharding"] },
);
const copy = fc.record({ step: count, worker: count, workers: count, mesh: name });
const entries = fc.array(fc.record({ tensor, begin: count, bytes }), { maxLength: 3 });
const kind = <K extends MessageKind>(of: K): fc.Arbitrary<K> => fc.constant(of);
const epoch = count;
const program = fc.stringMatching(/^[0-9a-f]{8}$/);
const handles = fc.array(name, { maxLength: 4 });

export const arbitraryMessages: { readonly [K in MessageKind]: fc.Arbitrary<Unbranded<MessageOf<K>>> } = {
  configure: fc.record({
    kind: kind("configure"),
    epoch,
    run: name,
    worker: count,
    workers: count,
    mesh: name,
    executor: fc.constantFrom("stacked", "chipwise"),
    numerics: fc.constantFrom("f32", "mxu"),
    peers: fc.array(name, { maxLength: 3 }),
  }),
  load: fc.record({ kind: kind("load"), epoch, program }),
  put: fc.record({ kind: kind("put"), epoch, tensor }),
  feed: fc.record({
    kind: kind("feed"),
    epoch,
    directory: name,
    split: fc.constantFrom("train", "heldout"),
    seed: count,
    step: count,
    batch: count,
    seq: count,
    into: fc.array(fc.record({ array: fc.constantFrom("tokens", "targets", "mask", "segments"), tensor }), { minLength: 1, maxLength: 3 }),
  }),
  run: fc.record(
    {
      kind: kind("run"),
      epoch,
      step: count,
      program,
      values: fc.record({
        inputs: handles,
        outputs: fc.array(fc.option(name), { maxLength: 4 }),
        donate: handles,
        told: fc.array(count, { maxLength: 3 }),
      }),
      repeats: fc.nat(3),
      update: fc.boolean(),
      trace: fc.boolean(),
    },
    { requiredKeys: ["kind", "epoch", "step", "program"] },
  ),
  describe: fc.record({ kind: kind("describe"), epoch, program }),
  fetch: fc.record({ kind: kind("fetch"), epoch, value: name }),
  drop: fc.record({ kind: kind("drop"), epoch, values: handles }),
  stats: fc.record({ kind: kind("stats"), epoch }),
  copy: fc.record({ kind: kind("copy"), epoch, step: count, values: handles, committed: count }),
  image: fc.record({
    kind: kind("image"),
    epoch,
    path: name,
    bytes,
    tensors: fc.array(fc.record({ tensor, begin: count }), { maxLength: 3 }),
  }),
  snapshot: fc.record({ kind: kind("snapshot"), epoch, path: name }),
  holdings: fc.record({ kind: kind("holdings"), epoch, latest: count }),
  lend: fc.record({ kind: kind("lend"), epoch, copy }),
  adopt: fc.record({ kind: kind("adopt"), epoch, copy, entries }),
  restore: fc.record({ kind: kind("restore"), epoch, step: count }),
  reset: fc.record({ kind: kind("reset"), epoch, keepCopies: fc.boolean() }, { requiredKeys: ["kind", "epoch"] }),
  shutdown: fc.record({ kind: kind("shutdown"), epoch }),
};

const times = { total_ms: ms, gemm_ms: ms, otherKernels_ms: ms, fused_ms: ms, fabricWait_ms: ms };

export const arbitraryReplies: { readonly [K in MessageKind]: fc.Arbitrary<Unbranded<WorkerReplies[K]>> } = {
  configure: fc.record({ backend }),
  load: fc.record({ kernels: count }),
  put: fc.record({ bytes }),
  feed: fc.record({ bytes }),
  run: fc.record(
    { step: count, kernelCalls: count, ...times, trace: fc.record({ began_ms: ms, calls_us: fc.array(ms, { maxLength: 6 }) }) },
    { requiredKeys: ["step", "kernelCalls", "total_ms", "gemm_ms", "otherKernels_ms", "fused_ms", "fabricWait_ms"] },
  ),
  describe: fc.record({
    calls: fc.array(
      fc.record(
        { kind: fc.constantFrom("product", "kernel", "fused", "start", "finish"), op: name, name, phase: name, block: count, joins: count },
        { requiredKeys: ["kind", "op", "name", "phase"] },
      ),
      { maxLength: 3 },
    ),
  }),
  fetch: fc.record({ tensor }),
  drop: fc.record({ bytes }),
  stats: fc.record({
    backend,
    pid: count,
    values: fc.dictionary(fc.stringMatching(/^[a-z/]{1,8}$/), bytes, { maxKeys: 3 }),
    kernelCalls: count,
    tensors: count,
    rss_bytes: bytes,
    programs: fc.dictionary(program, fc.record({ runs: count, ...times }), { maxKeys: 2 }),
  }),
  copy: fc.record({ bytes, ms }),
  image: fc.record({ opened: fc.boolean() }),
  snapshot: fc.record({ bytes, ms, shares: fc.array(fc.option(count), { maxLength: 4 }) }),
  holdings: fc.record({ copies: fc.array(copy, { maxLength: 3 }) }),
  lend: fc.record({ entries }),
  adopt: fc.record({ bytes }),
  restore: fc.record({ bytes }),
  reset: fc.constant({}),
  shutdown: fc.constant({}),
};

export const arbitraryAnswers: Readonly<Record<WorkerAnswer["kind"], fc.Arbitrary<unknown>>> = {
  ready: fc.record({
    kind: fc.constant("ready"),
    backend,
    fallbackReason: fc.option(name),
    holds: fc.option(fc.record({ run: name, worker: count })),
  }),
  log: fc.record({ kind: fc.constant("log"), line: name }),
  reply: fc.record({ kind: fc.constant("reply"), id: count, reply: fc.constant({ bytes: 1 }) }),
  error: fc.record({
    kind: fc.constant("error"),
    id: count,
    error: fc.record(
      { code: name, message: name, place: name, remedy: name, exit: fc.constantFrom(...Object.values(ExitCode)) },
      { requiredKeys: ["code", "message", "remedy", "exit"] },
    ),
  }),
};
