import assert from "node:assert/strict";
import fc from "fast-check";
import { randomCase, roundingOf, withGradients, worstRounding } from "@lapidary/compiler/testing";
import { type Graph, GraphBuilder, type Tensor, type Value, interpret, tensorType } from "@lapidary/ir";
import { ensure, seededRandom } from "@lapidary/std";
import { type Device, openDevice } from "../device/device.js";
import { loadPlan, runPlan } from "../execution/testing.js";
import { randomInputsOf, scaledDifference } from "../kernels/testing.js";

/** Number of cases of a property. The nightly test draws more. */
const propertyRuns = Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 60);

describe("fused plans", () => {
  let device: Device;
  before(async () => {
    device = await openDevice();
  });

  function expectSame(actual: ReadonlyMap<string, Tensor>, expected: ReadonlyMap<string, Tensor>, tolerance: number, what: string): void {
    for (const [name, want] of expected) {
      const d = scaledDifference(ensure(actual.get(name), name), want);
      assert.ok(d <= tolerance, `${what}: ${name} differs by ${d}`);
    }
  }

  it("a random program with gradients has the exact result within the rounding of f32, fused and unfused", async function () {
    this.timeout(0);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (seed) => {
        const { graph, inputs } = randomCase(seed, 24);
        const step = withGradients(graph);
        const rounding = roundingOf(step, inputs);
        fc.pre(rounding.undecided === undefined);
        for (const fuse of [true, false]) {
          const worst = worstRounding(await runPlan(device, step, inputs, "f32", fuse), rounding);
          assert.ok(worst.ratio <= 1, `${fuse ? "fused" : "unfused"}: ${worst.output}[${worst.element}] is off by ${worst.ratio} bounds`);
        }
      }),
      { numRuns: propertyRuns },
    );
  });

  it("a separate node reads an operand that repeats in the middle of a row", async () => {
    const g = new GraphBuilder("case");
    const x = g.parameter("x", f(4, 6, 3));
    g.output("y", g.reduce(g.multiply(x, g.cosine(g.iota(f(4, 6, 3), 1))), [0], "min"));
    const graph = g.finish();
    const inputs = randomInputsOf(seededRandom(7), graph);
    expectSame(await runPlan(device, graph, inputs), interpret(graph, inputs), 1e-6, "interpreter");
  });

  /** Counts the calls. */
  function kindsOf(graph: Graph): { fused: number; others: string[] } {
    const program = loadPlan(device, graph);
    const steps = program.profile();
    program.dispose();
    return {
      fused: steps.filter(({ kind }) => kind === "fused").length,
      others: steps.filter(({ kind }) => kind !== "fused").map(({ node }) => node.op),
    };
  }

  /** Skips the rest of a test whose numbers are correct if there is no library of fused kernels. */
  function needFusion(context: Mocha.Context): void {
    if (device.fused === undefined) context.skip();
  }

  async function expectOneCall(context: Mocha.Context, build: (g: GraphBuilder) => Value): Promise<void> {
    const g = new GraphBuilder("case");
    g.output("y", build(g));
    const graph = g.finish();
    const inputs = randomInputsOf(seededRandom(7), graph);
    expectSame(await runPlan(device, graph, inputs), interpret(graph, inputs), 1e-5, "interpreter");
    needFusion(context);
    assert.deepEqual(kindsOf(graph), { fused: 1, others: [] });
  }
  const f = (...dims: number[]) => tensorType("f32", dims);

  it("a normalised row is one call", function () {
    return expectOneCall(this, (g) => {
      const x = g.parameter("x", f(6, 40));
      const mean = g.scale(g.reduce(g.square(x), [1], "sum"), 1 / 40);
      const scaled = g.multiply(x, g.broadcastInDim(g.rsqrt(g.offset(mean, 1e-6)), [6, 40], [0]));
      return g.multiply(scaled, g.broadcastInDim(g.parameter("w", f(40)), [6, 40], [1]));
    });
  });

  it("a masked softmax is one call", function () {
    return expectOneCall(this, (g) => {
      const dims = [2, 3, 8, 8];
      const x = g.parameter("x", f(...dims));
      const [row, column] = [g.iota(tensorType("i32", [8, 8]), 0), g.iota(tensorType("i32", [8, 8]), 1)];
      const mask = g.broadcastInDim(g.compare(column, row, "LE"), dims, [2, 3]);
      const masked = g.select(mask, x, g.splat(-1e30, f(...dims)));
      const top = g.reduce(masked, [3], "max");
      const e = g.exponential(g.subtract(masked, g.broadcastInDim(top, dims, [0, 1, 2])));
      return g.divide(e, g.broadcastInDim(g.reduce(e, [3], "sum"), dims, [0, 1, 2]));
    });
  });

  it("an update of an optimizer is one call with all its results", async function () {
    const g = new GraphBuilder("case");
    const [p, m, v, grad] = ["p", "m", "v", "grad"].map((name) => g.parameter(name, f(12, 20))) as [Value, Value, Value, Value];
    const clip = g.broadcastInDim(g.parameter("clip", f()), [12, 20], []);
    const clipped = g.multiply(grad, clip);
    const m2 = g.add(g.scale(m, 0.9), g.scale(clipped, 0.1));
    const v2 = g.add(g.scale(g.square(v), 0.95), g.scale(g.square(clipped), 0.05));
    g.output("p", g.subtract(p, g.scale(g.divide(m2, g.offset(g.sqrt(v2), 1e-2)), 1e-3)));
    g.output("m", m2);
    g.output("v", v2);
    const graph = g.finish();
    const inputs = randomInputsOf(seededRandom(3), graph);
    expectSame(await runPlan(device, graph, inputs), interpret(graph, inputs), 1e-5, "interpreter");
    needFusion(this);
    assert.deepEqual(kindsOf(graph), { fused: 1, others: [] });
  });

  for (const halves of [1, 4, 8, 13])
    it(`a rotary embedding of a parameter or of a computed value is one call: halves of ${halves}`, async function () {
      const dims = [2, 6, 3, 2 * halves];
      const turn = (g: GraphBuilder, x: Value): Value => {
        const part = (from: number, to: number): Value => g.slice(x, [0, 0, 0, from], [2, 6, 3, to]);
        const swapped = g.concatenate([part(halves, 2 * halves), part(0, halves)], 3);
        const table = (name: string): Value => g.broadcastInDim(g.parameter(name, f(6, 2 * halves)), dims, [1, 3]);
        return g.add(g.multiply(x, table("cos")), g.multiply(swapped, table("sin")));
      };
      await expectOneCall(this, (g) => turn(g, g.parameter("x", f(...dims))));
      await expectOneCall(this, (g) => turn(g, g.tanh(g.parameter("x", f(...dims)))));
      await expectOneCall(this, (g) => {
        const x = g.parameter("x", f(5, 3));
        return g.concatenate(
          [0, 2, 1].map((from) => g.slice(x, [0, from], [5, from + 1])),
          1,
        );
      });
    });

  it("a slice that another node reads is not fused", async function () {
    const g = new GraphBuilder("case");
    const x = g.tanh(g.parameter("x", f(4, 6)));
    const [low, high] = [g.slice(x, [0, 0], [4, 3]), g.slice(x, [0, 3], [4, 6])];
    g.output("y", g.multiply(g.concatenate([high, low], 1), x));
    g.output("low", g.negate(low));
    const graph = g.finish();
    const inputs = randomInputsOf(seededRandom(6), graph);
    expectSame(await runPlan(device, graph, inputs), interpret(graph, inputs), 1e-5, "interpreter");
    needFusion(this);
    assert.deepEqual(kindsOf(graph).others, ["tanh", "slice", "slice", "concatenate", "multiply", "negate"]);
  });

  it("nodes before and after a matmul are not fused with one another", async function () {
    const g = new GraphBuilder("case");
    const [x, w] = [g.parameter("x", f(6, 6)), g.parameter("w", f(6, 6))];
    const a = g.scale(g.tanh(x), 2);
    const b = g.dotGeneral(a, w, [], [[1, 0]]);
    g.output("y", g.add(g.tanh(b), a));
    const graph = g.finish();
    const inputs = randomInputsOf(seededRandom(5), graph);
    expectSame(await runPlan(device, graph, inputs), interpret(graph, inputs), 1e-5, "interpreter");
    needFusion(this);
    assert.deepEqual(kindsOf(graph), { fused: 2, others: ["dot_general"] });
  });
});
