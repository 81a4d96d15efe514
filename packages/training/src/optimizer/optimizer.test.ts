import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { GraphBuilder, interpret, type Tensor, tensor, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { clipScale, globalNorm } from "./gradient-norm.js";
import { makeUpdate, optimizerSlots } from "./optimizer.js";
import { type OptimizerConfig, optimizerSchema, type ScheduleConfig, scheduleSchema } from "./optimizer-config.js";
import { learningRate } from "./schedule.js";

const vector = (values: readonly number[]): Tensor => tensor("f32", [values.length], values);
const scalar = (value: number): Tensor => tensor("f32", [], [value]);

function run(
  inputs: Readonly<Record<string, Tensor>>,
  build: (g: GraphBuilder, value: (name: string) => Value) => Readonly<Record<string, Value>>,
): (name: string) => number[] {
  const g = new GraphBuilder("test");
  const values = new Map(Object.entries(inputs).map(([name, t]) => [name, g.parameter(name, tensorType(t.dtype, t.dims))]));
  for (const [name, value] of Object.entries(build(g, (name) => ensure(values.get(name), name)))) g.output(name, value);
  const out = interpret(g.finish(), new Map(Object.entries(inputs)));
  return (name) => [...ensure(out.get(name), name).data];
}

const close = (actual: readonly number[], expected: readonly number[], bound = 1e-12): void => {
  strictEqual(actual.length, expected.length);
  actual.forEach((x, i) => ok(Math.abs(x - ensure(expected[i], "expected")) <= bound, `${actual.join()} is not ${expected.join()}`));
};

const rateAt = (schedule: ScheduleConfig, step: number): number =>
  ensure(run({ step: scalar(step) }, (g, v) => ({ rate: learningRate(g, v("step"), schedule, 2, 10) }))("rate")[0], "rate");

describe("schedules", () => {
  it("a constant schedule keeps the rate", () =>
    close(
      [0, 5, 99].map((step) => rateAt(scheduleSchema.parse({ name: "constant" }), step)),
      [2, 2, 2],
    ));

  it("warm-up starts at the first step with a positive rate", () =>
    close(
      [0, 1, 2, 3, 4].map((step) => rateAt(scheduleSchema.parse({ name: "constant", warmup: 4 }), step)),
      [0.5, 1, 1.5, 2, 2],
    ));

  it("a linear schedule decays to the final fraction and stays there", () =>
    close(
      [0, 2, 6, 10, 50].map((step) => rateAt(scheduleSchema.parse({ name: "linear", warmup: 2, final: 0.1 }), step)),
      [1, 2, 2 * 0.55, 0.2, 0.2],
    ));

  it("a cosine schedule decays to the final fraction and stays there", () =>
    close(
      [2, 4, 6, 10, 50].map((step) => rateAt(scheduleSchema.parse({ name: "cosine", warmup: 2, final: 0.1 }), step)),
      [2, 2 * (0.1 + 0.45 * (1 + Math.SQRT1_2)), 1.1, 0.2, 0.2],
    ));
});

/** Textbook AdamW in doubles: the state after each of `gradients`. */
function reference(
  w0: readonly number[],
  gradients: readonly (readonly number[])[],
  { lr, betas: [b1, b2], eps, weight_decay: decay }: Extract<OptimizerConfig, { name: "adamw" }>,
  clip?: number,
): number[] {
  let w = [...w0];
  const [m, v] = [w.map(() => 0), w.map(() => 0)];
  gradients.forEach((raw, step) => {
    const norm = Math.sqrt(raw.reduce((sum, x) => sum + x * x, 0));
    const scale = clip === undefined ? 1 : Math.min(1, clip / (norm + 1e-6));
    w = w.map((x, i) => {
      const g = ensure(raw[i], "gradient") * scale;
      m[i] = b1 * ensure(m[i], "m") + (1 - b1) * g;
      v[i] = b2 * ensure(v[i], "v") + (1 - b2) * g * g;
      const [mHat, vHat] = [ensure(m[i], "m") / (1 - b1 ** (step + 1)), ensure(v[i], "v") / (1 - b2 ** (step + 1))];
      return x * (1 - lr * decay) - (lr * mHat) / (Math.sqrt(vHat) + eps);
    });
  });
  return w;
}

function train(optimizer: OptimizerConfig, w0: readonly number[], gradients: readonly (readonly number[])[], clip?: number): number[] {
  const slotNames = optimizerSlots(optimizer);
  let [w, slots] = [vector(w0), slotNames.map(() => vector(w0.map(() => 0)))];
  gradients.forEach((gradient, step) => {
    const inputs = { w, g: vector(gradient), step: scalar(step), ...Object.fromEntries(slots.map((slot, i) => [`slot${i}`, slot])) };
    const out = run(inputs, (g, v) => {
      const gradientScale = clip === undefined ? undefined : clipScale(g, globalNorm(g, [v("g")]), clip);
      const update = makeUpdate(g, optimizer, { step: v("step"), learningRate: g.scalar(optimizer.lr), gradientScale });
      const spec = { name: "w", dims: v("w").type.dims, logicalAxes: [null], init: { kind: "zeros" } } as const;
      const updated = update(
        spec,
        v("w"),
        v("g"),
        slotNames.map((_, i) => v(`slot${i}`)),
      );
      return { w: updated.param, ...Object.fromEntries(updated.slots.map((slot, i) => [`slot${i}`, slot])) };
    });
    [w, slots] = [vector(out("w")), slotNames.map((_, i) => vector(out(`slot${i}`)))];
  });
  return [...w.data];
}

describe("optimizers", () => {
  const w0 = [1, -2, 0.5, 3];
  const gradients = [
    [0.1, -2, 1e-7, 0],
    [0.2, 1, -3e-7, 0],
    [-0.5, 0.25, 2, 0],
  ];

  for (const settings of [{}, { weight_decay: 0.1 }, { betas: [0.9, 0.999], eps: 1e-3 }, { betas: [0, 0] }])
    it(`AdamW computes the steps of its paper with ${JSON.stringify(settings)}`, () => {
      const optimizer = optimizerSchema.parse({ name: "adamw", lr: 0.01, ...settings });
      ok(optimizer.name === "adamw");
      close(train(optimizer, w0, gradients), reference(w0, gradients, optimizer), 1e-10);
      close(train(optimizer, w0, gradients, 0.5), reference(w0, gradients, optimizer, 0.5), 1e-10);
    });

  it("AdamW makes eleven passes over a parameter", () => {
    const g = new GraphBuilder("passes");
    const w = g.parameter("w", tensorType("f32", [7]));
    const scalars = { step: g.scalar(0), learningRate: g.scalar(0.1), gradientScale: undefined };
    const spec = { name: "w", dims: [7], logicalAxes: [null], init: { kind: "zeros" } } as const;
    makeUpdate(g, optimizerSchema.parse({ name: "adamw", lr: 0.1, weight_decay: 0.1 }), scalars)(spec, w, w, [w, w]);
    const free = ["parameter", "constant", "broadcast_in_dim"];
    strictEqual(g.values.filter(({ op, type }) => type.dims[0] === 7 && !free.includes(op)).length, 11);
  });

  it("SGD subtracts the scaled gradient and has no state", () => {
    const optimizer = optimizerSchema.parse({ name: "sgd", lr: 0.5, weight_decay: 0.1 });
    deepStrictEqual(optimizerSlots(optimizer), []);
    close(train(optimizer, [1, 2], [[1, -1]]), [0.95 - 0.5, 1.9 + 0.5]);
    close(train(optimizer, [1, 2], [[3, -4]], 1), [0.95 - 0.3, 1.9 + 0.4], 1e-6);
  });

  it("clipping keeps gradients below the norm and scales larger gradients to it", () => {
    const scaled = (clip: number): number =>
      ensure(
        run({ a: vector([3]), b: vector([0, 4]) }, (g, v) => ({ scale: clipScale(g, globalNorm(g, [v("a"), v("b")]), clip) }))("scale")[0],
        "scale",
      );
    strictEqual(scaled(6), 1);
    close([scaled(1)], [0.2], 1e-6);
  });

  it("the schema rejects settings that cannot train", () => {
    for (const wrong of [{ lr: Number.NaN }, { lr: 0 }, { lr: -1 }, { lr: Infinity }, { betas: [0.9, 1] }, { eps: 0 }, { momentum: 0.9 }])
      strictEqual(optimizerSchema.safeParse({ name: "adamw", lr: 0.1, ...wrong }).success, false, JSON.stringify(wrong));
  });
});
