import assert from "node:assert/strict";
import fc from "fast-check";
import { type DimPair, GraphBuilder, type Value, interpret, tensorType } from "@lapidary/ir";
import { type Random, ensure, seededRandom } from "@lapidary/std";
import { type Device, openDevice } from "../device/device.js";
import { runPlan } from "../execution/testing.js";
import { dotGroups, planDot } from "./dot-plan.js";
import { evaluateByKernels, randomInputsOf, scaledDifference } from "./testing.js";

const plan = (lhs: number[], rhs: number[], batch: DimPair[], contracting: DimPair[]): ReturnType<typeof planDot> =>
  planDot(dotGroups({ batch, contracting }, lhs.length, rhs.length), lhs, rhs);

describe("planDot", () => {
  const [B, T, D, F, H, S, d] = [2, 3, 4, 5, 6, 7, 8];

  it("planDot folds a projection into one matmul of views", () => {
    assert.deepEqual(plan([B, T, D], [F, D], [], [[2, 1]]), {
      lhs: { permutation: undefined, dims: [B * T, D], adjoint: false },
      rhs: { permutation: undefined, dims: [F, D], adjoint: true },
      dims: [B * T, F],
    });
  });

  it("planDot folds a weight gradient into one matmul that transposes its left operand by a flag", () => {
    const { lhs, rhs, dims } = plan(
      [B, T, D],
      [B, T, F],
      [],
      [
        [0, 0],
        [1, 1],
      ],
    );
    assert.deepEqual([lhs.permutation, lhs.adjoint, rhs.permutation, rhs.adjoint, dims], [undefined, true, undefined, false, [D, F]]);
  });

  it("planDot orders contracted dims as in the operands, not as in the attributes", () => {
    const { lhs, rhs } = plan(
      [B, T, D],
      [B, T, F],
      [],
      [
        [1, 1],
        [0, 0],
      ],
    );
    assert.deepEqual([lhs.permutation, rhs.permutation], [undefined, undefined]);
  });

  it("planDot transposes the operands of attention, whose heads come after the sequence, by whole rows", () => {
    const { lhs, rhs, dims } = plan(
      [B, T, H, d],
      [B, S, H, d],
      [
        [0, 0],
        [2, 2],
      ],
      [[3, 3]],
    );
    assert.deepEqual(
      [lhs.permutation, rhs.permutation, dims],
      [
        [0, 2, 1, 3],
        [0, 2, 1, 3],
        [B * H, T, S],
      ],
    );
  });

  it("planDot ignores dims of 1", () => {
    const { lhs, rhs } = plan(
      [B, 1, T, d],
      [B, S, 1, d],
      [
        [0, 0],
        [1, 2],
      ],
      [[3, 3]],
    );
    assert.deepEqual([lhs.permutation, rhs.permutation], [undefined, undefined]);
  });
});

/** A `dot_general` with random batch, contracted and free dims in random order. Operands may be broadcasts and transposes. */
function randomDot(random: Random): GraphBuilder {
  const g = new GraphBuilder("dot");
  const size = (): number => [1, 2, 3, 4][random.integer(4)] ?? 1;
  const groups = { batch: random.integer(3), contracted: random.integer(3), left: random.integer(3), right: random.integer(3) };
  const shared = Array.from({ length: groups.batch + groups.contracted }, size);
  const shuffled = (length: number): number[] => {
    const order = Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
      const j = random.integer(i + 1);
      [order[i], order[j]] = [ensure(order[j], "j"), ensure(order[i], "i")];
    }
    return order;
  };
  const operand = (name: string, free: number): { value: Value; positions: number[] } => {
    const sizes = [...shared, ...Array.from({ length: free }, size)];
    const order = shuffled(sizes.length);
    const dims = order.map((k) => ensure(sizes[k], "size"));
    const kept = dims.map((_, i) => i).filter(() => random.integer(3) > 0);
    const value =
      random.integer(2) === 0
        ? g.parameter(name, tensorType("f32", dims))
        : g.broadcastInDim(
            g.parameter(
              name,
              tensorType(
                "f32",
                kept.map((i) => ensure(dims[i], "dim")),
              ),
            ),
            dims,
            kept,
          );
    return { value, positions: sizes.map((_, k) => order.indexOf(k)) };
  };
  const [x, y] = [operand("x", groups.left), operand("y", groups.right)];
  const pair = (k: number): DimPair => [ensure(x.positions[k], "position"), ensure(y.positions[k], "position")];
  const batch = shuffled(groups.batch).map(pair);
  const contracting = shuffled(groups.contracted).map((k) => pair(groups.batch + k));
  const product = g.dotGeneral(x.value, y.value, batch, contracting);
  g.output("y", product);
  if (product.type.dims.length > 1) g.output("sum", g.reduce(product, [random.integer(product.type.dims.length)], "sum"));
  return g;
}

describe("dot_general", () => {
  let device: Device;
  before(async () => {
    device = await openDevice();
  });

  it("a dot_general is one matmul for any batch, contracted and free dims, alone and in a plan that stores repeated values once", () =>
    fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (seed) => {
        const random = seededRandom(seed);
        const graph = randomDot(random).finish();
        const inputs = randomInputsOf(random, graph);
        const expected = interpret(graph, inputs);
        for (const actual of [evaluateByKernels(device, graph, inputs), await runPlan(device, graph, inputs)])
          for (const [name, want] of expected)
            assert.ok(scaledDifference(ensure(actual.get(name), name), want) < 1e-5, `seed ${seed}: ${name}`);
      }),
      { numRuns: 300 },
    ));
});
