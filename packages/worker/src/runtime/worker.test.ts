import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mock } from "node:test";
import { type Device, openDevice } from "@lapidary/executor";
import type { Peers } from "@lapidary/fabric";
import { memoryPair, memoryPeers } from "@lapidary/fabric/testing";
import { type Graph, GraphBuilder, parseSharding, printGraph, tensorType } from "@lapidary/ir";
import { type JsonValue, LapidaryError, ensure, systemClock } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import {
  type MessageKind,
  type MessageOf,
  type WorkerMessage,
  type WorkerReplies,
  arrayOf,
  bytesOfNumbers,
  encodeMessage,
  messageId,
  numbersOf,
} from "@lapidary/protocol";
import { type Unbranded, message } from "@lapidary/protocol/testing";
import { serve } from "./serve.js";
import { type Answer, Worker } from "./worker.js";
import { processDevice } from "./worker-device.js";

const mesh = makeMesh({ data: 2 });
const sharding = (text: string): ReturnType<typeof parseSharding> => parseSharding(mesh, text);

/** s' = s / d; both over data. */
function ratio(): Graph {
  const g = new GraphBuilder("ratio", "chip", mesh);
  const port = (name: string): ReturnType<typeof g.push> =>
    g.push("parameter", [], { name }, tensorType("i32", [2]), { name, sharding: sharding("[data]") });
  const [s, d] = [port("s"), port("d")];
  g.output("s", g.op("divide", [s, d], {}, { name: "layers.0.ratio", sharding: sharding("[data]") }));
  return g.finish();
}

/** Waits for the other worker's block of s. */
function waits(): Graph {
  const g = new GraphBuilder("waits", "chip", mesh);
  const s = g.push("parameter", [], { name: "s" }, tensorType("f32", [2]), { name: "s", sharding: sharding("[data]") });
  g.output("all", g.op("all_gather", [s], { axes: ["data"], size: 2, dimension: 0 }, { name: "all", sharding: sharding("[-]") }));
  return g.finish();
}

/** Four numbers: two on each of two workers. */
const put4 = message<"put">({ kind: "put", epoch: 1, tensor: { id: "s", dtype: "f32", dims: [4], sharding: sharding("[data]") } });

describe("a worker", () => {
  let device: Device;
  let worker: Worker;
  before(async () => {
    device = await openDevice();
  });
  beforeEach(() => {
    worker = new Worker(processDevice(device), systemClock);
  });

  const execute = <K extends MessageKind>(
    of: Worker,
    plain: Unbranded<MessageOf<K>>,
    payload: Uint8Array = new Uint8Array(),
  ): Promise<Answer> => of.execute(message<K>(plain), payload);
  const ask = async <K extends MessageKind>(plain: Unbranded<MessageOf<K>>, payload?: Uint8Array): Promise<WorkerReplies[K]> =>
    (await execute<K>(worker, plain, payload)).reply as WorkerReplies[K];
  const configure = (more: Partial<Unbranded<MessageOf<"configure">>> = {}): Promise<WorkerReplies["configure"]> =>
    ask<"configure">({
      kind: "configure",
      epoch: 1,
      run: "r",
      worker: 0,
      workers: 1,
      mesh: "data=2",
      executor: "stacked",
      numerics: "f32",
      peers: [],
      ...more,
    });
  const load = async (graph: Graph): Promise<string> => {
    const text = new TextEncoder().encode(printGraph(graph));
    const program = createHash("sha256").update(text).digest("hex");
    await ask<"load">({ kind: "load", epoch: 1, program }, text);
    return program;
  };
  const put = (value: string, ...numbers: number[]): Promise<WorkerReplies["put"]> =>
    ask<"put">(
      { kind: "put", epoch: 1, tensor: { id: value, dtype: "i32", dims: [numbers.length], sharding: sharding("[data]") } },
      bytesOfNumbers(Int32Array.from(numbers)),
    );
  const fetch = async (value: string): Promise<number[]> => [
    ...numbersOf("i32", ensure((await execute<"fetch">(worker, { kind: "fetch", epoch: 1, value })).payload, "payload")),
  ];
  const run = (program: string, inputs: string[], outputs: string[], donate: string[] = []): Promise<WorkerReplies["run"]> =>
    ask<"run">({ kind: "run", epoch: 1, step: 0, program, values: { inputs, outputs, donate, told: [] } });

  it("a worker computes values from values, and consumes the donated ones", async () => {
    await configure();
    const program = await load(ratio());
    await put("s", 8, 6, 4, 2);
    await put("d", 2, 2, 2, 2);
    await run(program, ["s", "d"], ["s"], ["s"]);
    await run(program, ["s", "d"], ["t"], ["s"]);
    assert.deepEqual(await fetch("t"), [2, 1, 1, 0]);
    assert.deepEqual((await ask<"stats">({ kind: "stats", epoch: 1 })).values, { d: 16, t: 16 });
    await assert.rejects(fetch("s"), { code: "LAP_WORKER_VALUE_UNKNOWN" });
  });

  it("a worker refuses to overwrite a value, to drop an unknown one, and to run on one of another layout", async () => {
    await configure();
    const program = await load(ratio());
    await put("s", 8, 6, 4, 2);
    await put("d", 2, 2, 2, 2);
    await assert.rejects(run(program, ["s", "d"], ["d"]), { code: "LAP_WORKER_VALUE_EXISTS" });
    assert.deepEqual(await fetch("d"), [2, 2, 2, 2]);
    await assert.rejects(ask<"drop">({ kind: "drop", epoch: 1, values: ["x"] }), { code: "LAP_WORKER_VALUE_UNKNOWN" });
    await put("long", 1, 2, 3, 4, 5, 6);
    await assert.rejects(run(program, ["long", "d"], ["t"]), { code: "LAP_WORKER_VALUE_TYPE" });
    await assert.rejects(run("none", ["s", "d"], ["t"]), { code: "LAP_WORKER_PROGRAM_UNKNOWN" });
  });

  it("a worker returns outputs of one number, keeps none without an id, and repeats the handles of a program's last run", async () => {
    await configure();
    const g = new GraphBuilder("sum", "chip", mesh);
    const s = g.push("parameter", [], { name: "s" }, tensorType("i32", [4]), { name: "s", sharding: sharding("[-]") });
    g.output("s", g.op("add", [s, s], {}, { name: "twice", sharding: sharding("[-]") }));
    g.output("sum", g.op("reduce", [s], { dims: [0], kind: "sum" }, { name: "sum", sharding: sharding("[]") }));
    const program = await load(g.finish());
    const block = bytesOfNumbers(Int32Array.of(1, 2, 3, 4));
    await ask<"put">({ kind: "put", epoch: 1, tensor: { id: "s", dtype: "i32", dims: [4], sharding: sharding("[-]") } }, block);
    const values = { inputs: ["s"], outputs: ["s", null], donate: ["s"], told: [1] };
    const before = device.tf.memory().numTensors;
    const sums: number[] = [];
    for (const sent of [{ values }, {}, {}]) {
      const { payload } = await execute<"run">(worker, { kind: "run", epoch: 1, step: 0, program, ...sent });
      sums.push(...numbersOf("i32", ensure(payload, "payload")));
    }
    assert.deepEqual(sums, [10, 20, 40]);
    assert.deepEqual(await fetch("s"), [8, 16, 24, 32]);
    assert.equal(device.tf.memory().numTensors, before);
    const { payload } = await execute<"run">(worker, { kind: "run", epoch: 1, step: 0, program, repeats: 2 });
    assert.deepEqual([...numbersOf("i32", ensure(payload, "payload"))], [320], "the scalars of the last of three runs");
    assert.deepEqual(await fetch("s"), [64, 128, 192, 256]);
    assert.equal(device.tf.memory().numTensors, before);
    for (const wrong of [{ told: [0] }, { told: [2] }, { outputs: ["s"] }, { donate: ["s", "s"] }, { inputs: [] }, { outputs: ["a", "a"] }])
      await assert.rejects(
        ask<"run">({ kind: "run", epoch: 1, step: 0, program, values: { ...values, ...wrong } }),
        LapidaryError,
        JSON.stringify(wrong),
      );
  });

  it("every use of an output of a failed run fails with the same error", async () => {
    await configure();
    const program = await load(ratio());
    await put("s", 8, 6, 4, 2);
    await put("d", 2, 0, 2, 2);
    const failure = { code: "LAP_WORKER_KERNEL", location: "layers.0.ratio" };
    await assert.rejects(run(program, ["s", "d"], ["s"], ["s"]), failure);
    await put("d", 1, 1, 1, 1);
    await assert.rejects(run(program, ["s", "d"], ["s"], ["s"]), failure);
    await assert.rejects(fetch("s"), failure);
    await put("s", 8, 6, 4, 2);
    await run(program, ["s", "d"], ["s"], ["s"]);
    assert.deepEqual(await fetch("s"), [8, 6, 4, 2]);
  });

  it("a worker refuses an older epoch, works for one run at a time, and can join another run after a reset", async () => {
    await configure({ epoch: 3 });
    await assert.rejects(configure({ epoch: 2 }), { code: "LAP_WORKER_STALE" });
    await assert.rejects(ask<"drop">({ kind: "drop", epoch: 2, values: [] }), { code: "LAP_WORKER_STALE" });
    await assert.rejects(configure({ run: "other", epoch: 1 }), { code: "LAP_WORKER_BUSY" });
    await ask<"reset">({ kind: "reset", epoch: 3 });
    await assert.rejects(ask<"drop">({ kind: "drop", epoch: 3, values: [] }), { code: "LAP_WORKER_IDLE" });
    await configure({ run: "other", epoch: 1 });
  });

  it("a worker frees all tensors on reset", async () => {
    const before = device.tf.memory().numTensors;
    await configure();
    await load(ratio());
    await put("s", 8, 6, 4, 2);
    await ask<"reset">({ kind: "reset", epoch: 1 });
    assert.equal(device.tf.memory().numTensors, before);
  });

  it("a worker prepares a program once for all groups of one layout, and again for another layout", async () => {
    const text = new TextEncoder().encode(printGraph(ratio()));
    const decode = mock.method(TextDecoder.prototype, "decode");
    const compute = async (epoch: number, more: Partial<Unbranded<MessageOf<"configure">>> = {}): Promise<number[]> => {
      await configure({ run: `r${epoch}`, epoch, ...more });
      await ask<"load">({ kind: "load", epoch, program: "p" }, text);
      for (const [value, numbers] of [
        ["s", [8, 6, 4, 2]],
        ["d", [2, 2, 2, 2]],
      ] as const)
        await ask<"put">(
          { kind: "put", epoch, tensor: { id: value, dtype: "i32", dims: [4], sharding: sharding("[data]") } },
          bytesOfNumbers(Int32Array.from(numbers)),
        );
      await ask<"run">({
        kind: "run",
        epoch,
        step: 0,
        program: "p",
        values: { inputs: ["s", "d"], outputs: ["t"], donate: [], told: [] },
      });
      const { payload } = await execute<"fetch">(worker, { kind: "fetch", epoch, value: "t" });
      await ask<"reset">({ kind: "reset", epoch });
      return [...numbersOf("i32", ensure(payload, "payload"))];
    };
    try {
      assert.deepEqual(await compute(1), [4, 3, 2, 1]);
      const parsed = decode.mock.callCount();
      assert.ok(parsed > 0, "a program is parsed");
      assert.deepEqual(await compute(2), [4, 3, 2, 1]);
      assert.equal(decode.mock.callCount(), parsed);
      assert.deepEqual(await compute(3, { executor: "chipwise" }), [4, 3, 2, 1]);
      assert.ok(decode.mock.callCount() > parsed, "another layout is another program");
    } finally {
      decode.mock.restore();
    }
  });

  it("a reset interrupts a worker that waits for a peer, and the messages before the reset fail", async () => {
    const [first] = await memoryPeers(2);
    const peers = ensure(first, "peers");
    let begin = (): void => undefined;
    const began = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const watched: Pick<Peers, "exchange" | "abort" | "close"> = {
      exchange: (tag, sends, from) => {
        begin();
        return peers.exchange(tag, sends, from);
      },
      abort: (error) => peers.abort(error),
      close: () => peers.close(),
    };
    const [here, there] = await memoryPair();
    const waiting = new Worker(processDevice(device), systemClock, { join: () => Promise.resolve(watched as Peers) });
    const served = serve(there, waiting);
    const answers: JsonValue[] = [];
    const answered = new Promise<void>((resolve) => {
      here.onMessage((header) => {
        answers.push(header);
        if (answers.length === 6) resolve();
      });
    });
    const messages: [WorkerMessage, Uint8Array[]][] = [
      [
        message<"configure">({
          kind: "configure",
          epoch: 1,
          run: "r",
          worker: 0,
          workers: 2,
          mesh: "data=2",
          executor: "stacked",
          numerics: "f32",
          peers: [],
        }),
        [],
      ],
      [message<"load">({ kind: "load", epoch: 1, program: "p" }), [new TextEncoder().encode(printGraph(waits()))]],
      [put4, [bytesOfNumbers(arrayOf("f32", [2], new Float32Array(2)).data)]],
      [
        message<"run">({ kind: "run", epoch: 1, step: 0, program: "p", values: { inputs: ["s"], outputs: ["all"], donate: [], told: [] } }),
        [],
      ],
      [message<"fetch">({ kind: "fetch", epoch: 1, value: "all" }), []],
    ];
    const send = (sent: WorkerMessage, id: number, payload: Uint8Array[] = []): void =>
      here.send(encodeMessage(sent, messageId(id)), payload);
    messages.forEach(([sent, payload], id) => send(sent, id, payload));
    await began;
    send(message<"reset">({ kind: "reset", epoch: 1 }), messages.length);
    await answered;
    assert.deepEqual(
      answers.map((answer) => (answer as { kind: string }).kind),
      ["reply", "reply", "reply", "error", "error", "reply"],
    );
    await here.close();
    await served;
  });

  it("a worker answers a malformed message with its field and the coordinator's build, and executes the next message", async () => {
    const [here, there] = await memoryPair({ hello: { name: "pool", build: "protocol 8 (other)" } });
    const served = serve(there, new Worker(processDevice(device), systemClock));
    const answers: JsonValue[] = [];
    const answered = new Promise<void>((resolve) => {
      here.onMessage((header) => {
        answers.push(header);
        if (answers.length === 3) resolve();
      });
    });
    const configuration = {
      kind: "configure",
      epoch: 1,
      run: "r",
      worker: 0,
      workers: 1,
      mesh: "data=2",
      executor: "stacked",
      numerics: "f32",
      peers: [],
    };
    here.send({ ...configuration, id: 0, workers: "1" });
    here.send({ ...configuration, id: 1 });
    // The message is well-formed; the mesh has no such sub-axis.
    const tensor = { id: "s", dtype: "f32", dims: [4], sharding: { dims: [[7]], unreduced: [], reduction: "sum" } };
    here.send({ kind: "put", epoch: 1, id: 2, tensor }, [new Uint8Array(16)]);
    await answered;
    const error = (id: number, place: string, found: string): JsonValue => ({
      kind: "error",
      id,
      error: {
        code: "LAP_PROTOCOL_MALFORMED",
        message: `the coordinator of build protocol 8 (other) sent a malformed ${found}`,
        place,
        remedy: "run `lapidary down` and `lapidary up`: coordinator and workers must be of one build",
        exit: 1,
      },
    });
    assert.deepEqual(answers, [
      error(0, "workers", 'message, field workers: expected a whole number that is not negative, found "1"'),
      { kind: "reply", id: 1, reply: { backend: device.backend } },
      error(2, "sharding", "put message, field sharding: expected a sub-axis of the mesh, which has 1, found 7"),
    ]);
    // A message without a number cannot be answered, so the channel closes.
    here.send({ ...configuration });
    const reason = await there.closed;
    assert.ok(reason.kind === "lost" && reason.error.code === "LAP_PROTOCOL_MALFORMED", JSON.stringify(reason));
    await served;
  });

  it("a worker that loses its coordinator executes the messages before the next step, and keeps its replicas", async () => {
    const joined = await memoryPeers(2);
    const [here, there] = await memoryPair();
    const workers = joined.map((peers) => new Worker(processDevice(device), systemClock, { join: () => Promise.resolve(peers) }));
    const [first, second] = [ensure(workers[0], "worker"), ensure(workers[1], "worker")];
    const served = serve(there, first);
    const configuration = (rank: number, epoch = 1, size = 2): MessageOf<"configure"> =>
      message<"configure">({
        kind: "configure",
        epoch,
        run: "r",
        worker: rank,
        workers: size,
        mesh: "data=2",
        executor: "stacked",
        numerics: "f32",
        peers: [],
      });
    const block = bytesOfNumbers(new Float32Array(2));
    const replicateAt = (step: number): MessageOf<"copy"> => message<"copy">({ kind: "copy", epoch: 1, step, values: ["s"], committed: 0 });
    const replicate = replicateAt(1);
    const step = message<"run">({
      kind: "run",
      epoch: 1,
      step: 1,
      program: "p",
      values: { inputs: ["s"], outputs: ["all"], donate: [], told: [] },
    });
    const messages: [WorkerMessage, Uint8Array[]][] = [
      [configuration(0), []],
      [message<"load">({ kind: "load", epoch: 1, program: "p" }), [new TextEncoder().encode(printGraph(waits()))]],
      [put4, [block]],
      [replicate, []],
      [step, []],
      [replicateAt(2), []],
    ];
    let placed = (): void => undefined;
    const isPlaced = new Promise<void>((resolve) => {
      placed = resolve;
    });
    here.onMessage((header) => {
      if ((header as { id: number }).id === 2) placed();
    });
    messages.forEach(([sent, payload], id) => here.send(encodeMessage(sent, messageId(id)), payload));
    await isPlaced;
    // The worker waits for the replica of its peer when its coordinator exits.
    here.abort(new LapidaryError({ code: "LAP_FABRIC_LOST", message: "killed", remedy: "none" }));
    assert.equal((await there.closed).kind, "lost");
    await second.execute(configuration(1), new Uint8Array());
    await second.execute(put4, block);
    await second.execute(replicate, new Uint8Array());
    await served;
    await first.leave();
    assert.deepEqual(first.heldReplicas, { run: "r", worker: 0 });
    await first.execute(configuration(0, 2, 1), new Uint8Array());
    const { reply } = await execute<"holdings">(first, { kind: "holdings", epoch: 2, latest: 9 });
    assert.deepEqual((reply as WorkerReplies["holdings"]).copies.map((name) => [name.step, name.worker]).sort(), [
      [1, 0],
      [1, 1],
    ]);
    await second.leave();
  });

  it("a worker that loses its coordinator leaves the peer for which it waits in a step", async () => {
    const [peers] = await memoryPeers(2);
    const [here, there] = await memoryPair();
    let begin = (): void => undefined;
    const began = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const watched: Pick<Peers, "exchange" | "abort" | "close"> = {
      exchange: (tag, sends, from) => {
        begin();
        return ensure(peers, "peers").exchange(tag, sends, from);
      },
      abort: (error) => ensure(peers, "peers").abort(error),
      close: () => ensure(peers, "peers").close(),
    };
    const alone = new Worker(processDevice(device), systemClock, { join: () => Promise.resolve(watched as Peers) });
    const served = serve(there, alone);
    const messages: [WorkerMessage, Uint8Array[]][] = [
      [
        message<"configure">({
          kind: "configure",
          epoch: 1,
          run: "r",
          worker: 0,
          workers: 2,
          mesh: "data=2",
          executor: "stacked",
          numerics: "f32",
          peers: [],
        }),
        [],
      ],
      [message<"load">({ kind: "load", epoch: 1, program: "p" }), [new TextEncoder().encode(printGraph(waits()))]],
      [put4, [bytesOfNumbers(new Float32Array(2))]],
      [
        message<"run">({ kind: "run", epoch: 1, step: 0, program: "p", values: { inputs: ["s"], outputs: ["all"], donate: [], told: [] } }),
        [],
      ],
    ];
    messages.forEach(([sent, payload], id) => here.send(encodeMessage(sent, messageId(id)), payload));
    await began;
    here.abort(new LapidaryError({ code: "LAP_FABRIC_LOST", message: "killed", remedy: "none" }));
    await served;
    await alone.leave();
    assert.equal(alone.heldReplicas, undefined);
  });
});
