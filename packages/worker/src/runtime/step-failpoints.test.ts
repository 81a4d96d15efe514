import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { compile, gradients } from "@lapidary/compiler";
import {
  type Device,
  disposeHeld,
  type ExecutionHooks,
  openDevice,
  type ScheduleItem,
  stackedExecutor,
  type StackedProgram,
} from "@lapidary/executor";
import { memoryPeers } from "@lapidary/fabric/testing";
import { type Graph, GraphBuilder, sizeOf, tensorType } from "@lapidary/ir";
import { Failpoints, LapidaryError, ensure, parseFailpoints, systemClock } from "@lapidary/std";
import { type Mesh, makeMesh, makeWorkerGrid } from "@lapidary/topology";
import { arrayLayout, arrayOf, blockDimsOf, workerRank } from "@lapidary/protocol";
import { StepFaults, type StepPoint, stepPointNames } from "./faults.js";

/** What happened around one item of the schedule on worker 0, in the order in which the executor did it. */
interface Observed {
  readonly moment: "before" | "after";
  readonly kind: ScheduleItem["kind"];
  readonly op: string;
  readonly phase: string;
  readonly node: number;
}

/** A step whose sharding and collectives are those of one way to train. */
interface TrainingStep {
  readonly name: string;
  readonly chip: Graph;
  readonly mesh: Mesh;
}

/** Three layers x + tanh(x·up)·down, a loss, its gradients, and a step of gradient descent. */
function threeLayerStep(): Graph {
  const g = new GraphBuilder("three_layers");
  let x = g.parameter("x", tensorType("f32", [8, 16]), ["batch", "embed"], "batch");
  const layers = [0, 1, 2].map((layer) => ({
    up: g.parameter(`up${layer}`, tensorType("f32", [16, 32]), ["embed", "mlp"], "param"),
    down: g.parameter(`down${layer}`, tensorType("f32", [32, 16]), ["mlp", "embed"], "param"),
  }));
  for (const { up, down } of layers) {
    const hidden = g.tanh(g.dotGeneral(x, up, [], [[1, 0]]));
    x = g.add(x, g.dotGeneral(hidden, down, [], [[1, 0]]));
  }
  const loss = g.reduce(g.square(x), [0, 1], "sum");
  const weights = layers.flatMap(({ up, down }) => [up, down]);
  const grads = gradients(g, loss, weights);
  g.inPhase("update", () => {
    weights.forEach((weight, i) => {
      const grad = g.named(`grads/${weight.name}`, ensure(grads[i], "gradient"), weight.logicalAxes, "gradient");
      g.output(weight.name, g.subtract(weight, g.scale(grad, 0.01)));
    });
    g.output("loss", loss);
  });
  return g.finish();
}

function zero3Step(): TrainingStep {
  const mesh = makeMesh({ data: 4 });
  const { chip } = compile(threeLayerStep(), { mesh, rules: { batch: "data" }, zero: { stage: 3, axes: ["data"] } });
  return { name: "ZeRO-3", chip, mesh };
}

function tensorParallelStep(): TrainingStep {
  const mesh = makeMesh({ model: 4 });
  const { chip } = compile(threeLayerStep(), { mesh, rules: { mlp: "model" }, zero: { stage: 0, axes: [] } });
  return { name: "tensor parallelism", chip, mesh };
}

describe("failpoints of a step on the real executor", function () {
  this.timeout(60_000);
  let device: Device;
  before(async () => {
    device = await openDevice();
  });

  /** Runs a step on two workers; worker 0 has the failpoints of `text`. Returns what it did, and the error with which it ended. */
  async function run({ chip, mesh }: TrainingStep, share: boolean, text: string): Promise<{ observed: Observed[]; error: unknown }> {
    const observed: Observed[] = [];
    const points = new Failpoints(parseFailpoints(text), {
      kill: () => assert.fail("kill"),
      suspend: () => assert.fail("suspend"),
      hang: () => assert.fail("hang"),
      claim: () => true,
    });
    const faults = new StepFaults(points, 0);
    const record = (moment: Observed["moment"], { kind, node }: ScheduleItem): void => {
      observed.push({ moment, kind, op: node.op, phase: node.value.scope.phase, node: node.id });
    };
    const hooks: ExecutionHooks = {
      before: (item) => {
        record("before", item);
        faults.before(item);
      },
      after: (item) => {
        record("after", item);
        faults.after(item);
      },
      link: (op, link) => faults.link(op, link),
    };
    const grid = makeWorkerGrid(mesh, 2);
    const tag = randomUUID();
    const peers = await memoryPeers(2);
    const outcomes = await Promise.all(
      peers.map(async (peer, worker) => {
        const own = { device, mesh, grid, worker: workerRank(worker), peers: peer, numerics: "f32", clock: systemClock, share } as const;
        const executor = stackedExecutor(worker === 0 ? { ...own, hooks } : own);
        const program = executor.load(executor.prepare(chip)) as StackedProgram;
        if (worker === 0) faults.begin(1, program.schedule);
        const inputs = program.tensors.parameters.map((tensor) => {
          const dims = blockDimsOf(arrayLayout({ mesh, grid }, tensor));
          return executor.put(tensor, arrayOf("f32", dims, new Float32Array(sizeOf(dims)).fill(0.1)));
        });
        try {
          for (const output of await program.run(
            inputs,
            inputs.map(() => true),
            tag,
          ))
            disposeHeld(output);
          return undefined;
        } catch (error) {
          assert.ok(error instanceof LapidaryError, String(error));
          for (const other of peers) other.abort(error);
          return error;
        } finally {
          program.dispose();
        }
      }),
    );
    await Promise.all(peers.map((peer) => peer.close()));
    return { observed, error: outcomes[0] };
  }

  /** What an item must be for a failpoint of this name to fire there. */
  const expected: Readonly<Record<StepPoint, (at: Observed) => boolean>> = {
    forward: (at) => at.moment === "before" && at.phase === "forward" && (at.kind === "kernel" || at.kind === "fused"),
    "backward-middle": (at) => at.moment === "before" && at.phase === "backward" && (at.kind === "kernel" || at.kind === "fused"),
    "reduce-scatter-chunk-sent": (at) => at.moment === "after" && at.kind === "start" && /^(reduce_scatter|all_reduce)$/.test(at.op),
    "reduce-scatter-chunk-received": (at) => at.moment === "after" && at.kind === "finish" && /^(reduce_scatter|all_reduce)$/.test(at.op),
    "all-gather-chunk-sent": (at) => at.moment === "after" && at.kind === "start" && /^(all_gather|all_reduce)$/.test(at.op),
    "all-gather-chunk-received": (at) => at.moment === "after" && at.kind === "finish" && /^(all_gather|all_reduce)$/.test(at.op),
  };

  for (const step of [zero3Step(), tensorParallelStep()])
    for (const share of [true, false])
      for (const point of stepPointNames)
        it(`${point} fires where its name says, in a step of ${step.name} over ${share ? "shared memory" : "channels"}`, async () => {
          const whole = await run(step, share, "");
          assert.equal(whole.error, undefined);
          const { observed, error } = await run(step, share, `${point}@1,0:throw`);
          assert.equal((error as LapidaryError | undefined)?.code, "LAP_FAILPOINT");
          const at = ensure(observed.at(-1), "the last item before the failure");
          assert.ok(expected[point](at), `${point} fired ${at.moment} ${at.kind} of ${at.op} in the ${at.phase} pass`);
          assert.deepEqual(observed, whole.observed.slice(0, observed.length), "the run is the fault-free run up to there");
          const fitting = whole.observed.filter(expected[point]);
          const index = fitting.findIndex((one) => one.node === at.node);
          const wanted = point === "forward" || point === "backward-middle" ? fitting.length >> 1 : 0;
          assert.equal(index, wanted, "of the items that fit, the middle one of the pass or the first collective");
        });

  it("a step of ZeRO-3 has the schedule that this test was written for: gathers, matmuls, reductions in both passes", async () => {
    const { observed } = await run(zero3Step(), true, "");
    const started = observed.filter(({ moment, kind }) => moment === "after" && kind === "start").map(({ op }) => op);
    assert.ok(started.filter((op) => op === "all_gather").length >= 6, started.join(" "));
    assert.ok(started.filter((op) => op === "reduce_scatter").length >= 6, started.join(" "));
    // A collective that ends early in the backward pass used to move all later failpoints.
    const firstReduction = observed.findIndex(({ kind, op }) => kind === "start" && op === "reduce_scatter");
    assert.ok(observed.slice(0, firstReduction).some(({ kind, op }) => kind === "finish" && op === "all_gather"));
  });
});
