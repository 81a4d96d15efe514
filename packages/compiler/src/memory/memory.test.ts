import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { ensure } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { type Graph, GraphBuilder, type Value, bytesOf, regionsOf, tensorType } from "@lapidary/ir";
import { compile } from "../compile.js";
import type { Program } from "../program.js";
import { randomCase, withGradients } from "../testing/random-graph.js";
import { exampleStep } from "../testing/worked-example.js";
import { fusedValues } from "./fusion.js";
import { type MemoryPlan, liveBytes, planMemory, verifyMemory } from "./memory.js";

const f32 = (...dims: number[]): ReturnType<typeof tensorType> => tensorType("f32", dims);
const inOrder = (graph: Graph): { order: number[]; startBefore: Map<number, number> } => ({
  order: graph.values.filter(({ op }) => op !== "parameter").map(({ id }) => id),
  startBefore: new Map(),
});

/** The plan of a graph without fused values. Buffers as `name offset+bytes from..to class`. */
function planned(build: (g: GraphBuilder) => void, startBefore?: ReadonlyMap<number, number>): { plan: MemoryPlan; buffers: string[] } {
  const g = new GraphBuilder("m");
  build(g);
  const graph = g.finish();
  const order = inOrder(graph);
  const plan = planMemory(graph, startBefore === undefined ? order : { ...order, startBefore }, {
    bytes: (value) => bytesOf(value.type),
    fused: graph.values.map(() => false),
  });
  verifyMemory(plan, order.order.length);
  const buffers = plan.buffers.map(
    ({ value, offset, bytes, from, to, kind }) => `${graph.values[value]?.name} ${offset}+${bytes} ${from}..${to} ${kind}`,
  );
  return { plan, buffers: buffers.sort() };
}

describe("the memory plan", () => {
  it("a value needs memory from its own step to the last step that reads it, and an output to the end", () => {
    const { plan, buffers } = planned((g) => {
      const x = g.parameter("x", f32(4), undefined, "batch");
      const y = g.named("y", g.exponential(x));
      const z = g.named("z", g.tanh(y));
      const w = g.named("w", g.add(y, z));
      g.output("w", w);
      g.output("v", g.named("v", g.negate(w)));
    });
    deepStrictEqual(buffers, [
      "v 16+16 3..4 temporary",
      "w 48+16 2..4 temporary",
      "x 0+16 -1..4 temporary",
      "y 16+16 0..2 temporary",
      "z 32+16 1..2 temporary",
    ]);
    deepStrictEqual([plan.peakBytes, plan.peakStep, plan.arenaBytes], [64, 2, 64]);
  });

  it("live bytes are counted before the first step, after each step and at the end", () => {
    const buffer = (bytes: number, from: number, to: number): MemoryPlan["buffers"][number] => ({
      value: 0,
      bytes,
      from,
      to,
      kind: "params",
      offset: 0,
    });
    const { total, byClass } = liveBytes([buffer(1, -1, 2), buffer(10, 0, 0), buffer(100, 1, 2)], 3);
    deepStrictEqual(total.slice(0, 4), [1, 11, 101, 101]);
    deepStrictEqual(byClass.params, total);
    deepStrictEqual(byClass.activations, [0, 0, 0, 0, 0]);
  });

  it("the next state takes the buffer of the state that nothing reads later", () => {
    const step = (readLater: boolean): string[] =>
      planned((g) => {
        const w = g.parameter("w", f32(4), undefined, "param");
        const next = g.named("next", g.negate(w));
        if (readLater) g.output("y", g.named("y", g.exponential(w)));
        g.output("w", next);
      }).buffers;
    deepStrictEqual(step(false), ["next 0+16 0..1 params", "w 0+16 -1..-1 params"]);
    deepStrictEqual(step(true), ["next 16+16 0..2 params", "w 0+16 -1..2 params", "y 32+16 1..2 temporary"]);
  });

  it("classes are those of roles, and a forward value that the backward pass reads is an activation", () => {
    const { buffers, plan } = planned((g) => {
      const w = g.parameter("w", f32(4), undefined, "param");
      const m = g.parameter("m", f32(4), undefined, "optimizer");
      const kept = g.named("kept", g.exponential(w));
      const free = g.named("free", g.tanh(kept));
      g.output("loss", g.named("loss", g.reduce(free, [0], "sum")));
      g.inPhase("backward", () => {
        const grad = g.named("grad", g.multiply(kept, w), undefined, "gradient");
        g.output("m", g.named("next", g.add(m, grad)));
      });
    });
    deepStrictEqual(
      buffers.map((text) => text.split(" ")[0] + " " + text.split(" ")[3]),
      ["free temporary", "grad gradients", "kept activations", "loss temporary", "m optimizer", "next optimizer", "w params"],
    );
    deepStrictEqual(plan.peakByClass, { params: 16, optimizer: 16, gradients: 16, activations: 16, temporary: 20 });
  });

  it("a collective needs its memory from the step at which it starts", () => {
    const g = (build: GraphBuilder): void => {
      const x = build.named("x", build.exponential(build.parameter("p", f32(4))));
      const y = build.named("y", build.tanh(x));
      build.output("z", build.named("z", build.add(x, y)));
    };
    deepStrictEqual(
      planned(g, new Map([[3, 1]])).buffers.filter((text) => text.startsWith("z")),
      ["z 32+16 1..3 temporary"],
    );
  });

  it("a buffer is placed in the smallest gap that is large enough, and else above all others", () => {
    const g = new GraphBuilder("empty");
    for (let i = 0; i < 10; i++) g.splat(i, f32());
    const graph = g.finish();
    const requests = [
      // Three buffers of 10 bytes stay. Those of 30 and 20 bytes between them leave gaps after step 5.
      ...[
        [10, 0, 9],
        [30, 1, 5],
        [10, 2, 9],
        [20, 3, 5],
        [10, 4, 9],
      ],
      ...[
        [15, 6, 9],
        [25, 7, 9],
        [40, 8, 9],
        [5, 8, 9],
        [0, 8, 9],
      ],
    ] as const;
    const { buffers, arenaBytes, peakBytes } = planMemory(graph, inOrder(graph), {
      bytes: () => 0,
      fused: graph.values.map(() => true),
      added: requests.map(([bytes, from, to]) => ({ value: 0, bytes, from, to })),
    });
    deepStrictEqual(
      buffers.filter(({ bytes }) => bytes > 0).map(({ bytes, offset }) => [bytes, offset]),
      [
        ...[
          [10, 0],
          [30, 10],
          [10, 40],
          [20, 50],
          [10, 70],
        ],
        // The gap of 20 bytes takes 15, and that of 30 bytes takes 25. Of two gaps of exactly 5, the first takes 5.
        ...[
          [15, 50],
          [25, 10],
          [40, 80],
          [5, 35],
        ],
      ],
    );
    deepStrictEqual([arenaBytes, peakBytes], [120, 115]);
  });

  it("verifyMemory rejects a plan with a wrong peak, overlapping buffers or too small an arena", () => {
    const { memory, schedule } = compile(exampleStep(), { mesh: makeMesh({ data: 2, model: 2 }), rules: {}, zero: { stage: 0, axes: [] } });
    const steps = schedule.order.length;
    verifyMemory(memory, steps);
    throws(() => verifyMemory({ ...memory, peakBytes: memory.peakBytes - 1 }, steps), /peak is that of the replay/);
    throws(() => verifyMemory({ ...memory, peakByClass: { ...memory.peakByClass, params: 1 } }, steps), /peak of a class/);
    throws(() => verifyMemory({ ...memory, arenaBytes: memory.peakBytes - 1 }, steps), /arena/);
    const moved = memory.buffers.map((buffer) => ({ ...buffer, offset: 0 }));
    throws(() => verifyMemory({ ...memory, buffers: moved }, steps), /do not overlap/);
  });
});

/** Calls `need` with each value in memory that a step reads, through views and fused values, and with the outputs at the last step. */
function forEachRead({ chip, schedule }: Program, need: (id: number, step: number) => void): void {
  const fused = fusedValues(chip);
  const isView = (value: Value): boolean => value.op === "reshape" || fused[value.id] === true;
  const read = (id: number, step: number): void => {
    const value = ensure(chip.values[id], "value");
    if (isView(value)) for (const input of value.inputs) read(input, step);
    else need(id, step);
  };
  schedule.order.forEach((id, step) => {
    const value = ensure(chip.values[id], "value");
    if (!isView(value)) for (const input of value.inputs) read(input, step);
  });
  for (const { value } of chip.outputs) read(value, schedule.order.length);
}

describe("the memory plan of a program", () => {
  it("a buffer is live in every step that reads it, and no longer", () => {
    let compared = 0;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const { graph, mesh, shardings } = randomCase(seed);
        const program = compile(withGradients(graph), { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
        const { memory, chip, schedule } = program;
        fc.pre(regionsOf(chip).length === 0);
        const step = new Map(schedule.order.map((id, i) => [id, i]));
        const last = new Map<number, number>();
        forEachRead(program, (id, at) => last.set(id, Math.max(last.get(id) ?? -1, at)));
        const buffers = new Map(memory.buffers.map((buffer) => [buffer.value, buffer]));
        for (const [id, at] of last) {
          const buffer = ensure(buffers.get(id), `buffer of ${chip.values[id]?.name}`);
          const made = step.get(id);
          ok(buffer.from <= (made ?? -1) && buffer.to >= at, `${chip.values[id]?.name}: ${buffer.from}..${buffer.to} for ${made}..${at}`);
          if (made !== undefined) strictEqual(buffer.to, Math.max(made, at));
          compared++;
        }
      }),
      { numRuns: 40 },
    );
    ok(compared > 200);
  });

  it("a carry is in memory for the whole region, and its yield and the updated sum need no memory of their own", () => {
    const { buffers } = planned((g) => {
      const x = g.parameter("x", f32(4));
      const [sum] = g.repeat(3, [g.splat(0, f32(4))], ([before]) => [
        g.named("sum", g.add(ensure(before, "carry"), g.named("term", g.exponential(x)))),
      ]);
      g.output("y", g.named("y", g.negate(ensure(sum, "sum"))));
    });
    // Steps: constant 0, carry 1, term 2, sum 3, yield 4, y 5.
    deepStrictEqual(
      buffers.filter((text) => !text.startsWith("constant")),
      ["carry 32+16 1..5 temporary", "term 48+16 2..3 temporary", "x 0+16 -1..6 temporary", "y 16+16 5..6 temporary"],
    );
  });
});
