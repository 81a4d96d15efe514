import { ok, strictEqual } from "node:assert/strict";
import { type Tensor, tensor } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { countedLoss, meanLoss, tokenLosses } from "../cross-entropy.js";
import { evaluate, ints, maxAbsDifference, normals } from "../testing.js";
import { geluTanh } from "./gated-mlp.js";
import { rmsNorm } from "./rms-norm.js";
import { applyRope, ropeTables } from "./rope.js";

const close = (a: Tensor, b: readonly number[], bound = 1e-6): void => ok(maxAbsDifference(a, tensor(a.dtype, a.dims, b)) < bound);

describe("rms norm", () => {
  it("RMSNorm scales by one plus the weight", () => {
    const x = tensor("f32", [1, 2], [3, 4]);
    const rms = Math.sqrt(12.5 + 1e-6);
    close(
      evaluate({ x, w: tensor("f32", [2], [0, 1]) }, (g, v) => rmsNorm(g, v("x"), v("w"), { norm: "one_plus", eps: 1e-6 })),
      [3 / rms, 8 / rms],
    );
  });
});

describe("gelu", () => {
  it("GELU is the tanh form and is finite for large inputs", () => {
    const t = [-40, -1, 0, 0.5, 2, 40];
    const expected = t.map((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))));
    close(
      evaluate({ t: tensor("f32", [6], t) }, (g, v) => geluTanh(g, v("t"))),
      expected,
      1e-12,
    );
  });
});

describe("rope", () => {
  const rotated = (x: Tensor): Tensor =>
    evaluate({ x }, (g, v) => applyRope(g, v("x"), ropeTables(g, { positions: x.dims[1] ?? 0 }, x.dims[3] ?? 0, { theta: 10000 })));

  it("RoPE rotates the pair (i, i + E/2) by t · theta^(-2i/E)", () => {
    const [T, E] = [3, 4];
    const x = normals(1, [1, T, 1, E]);
    const at = (t: number, i: number): number => ensure(x.data[t * E + i], "element");
    const expected = Array.from({ length: T * E }, (_, n) => {
      const [t, c] = [Math.floor(n / E), n % E];
      const i = c % (E / 2);
      const angle = t * 10000 ** ((-2 * i) / E);
      return c < E / 2
        ? at(t, i) * Math.cos(angle) - at(t, i + 2) * Math.sin(angle)
        : at(t, i + 2) * Math.cos(angle) + at(t, i) * Math.sin(angle);
    });
    close(rotated(x), expected, 1e-12);
  });

  it("RoPE gives equal dot products at equal distances", () => {
    const [q, k] = [normals(2, [8]).data, normals(3, [8]).data];
    const rotate = (v: Float64Array): Tensor => rotated(tensor("f32", [1, 6, 1, 8], Array.from({ length: 6 }, () => [...v]).flat()));
    const [qs, ks] = [rotate(q), rotate(k)];
    const dot = (t: number, s: number): number =>
      Array.from({ length: 8 }, (_, i) => ensure(qs.data[t * 8 + i], "q") * ensure(ks.data[s * 8 + i], "k")).reduce((a, b) => a + b);
    ok(Math.abs(dot(5, 3) - dot(2, 0)) < 1e-12);
  });
});

describe("cross entropy", () => {
  const logits = normals(4, [2, 3, 5], 3);
  const targets = ints([2, 3], [0, 4, 2, 1, 1, 3]);
  const reference = Array.from({ length: 6 }, (_, n) => {
    const row = [...logits.data.subarray(n * 5, n * 5 + 5)];
    return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - ensure(row[ensure(targets.data[n], "target")], "logit");
  });

  it("the token loss is minus the log of the probability of the target", () => {
    close(
      evaluate({ logits, targets }, (g, v) => tokenLosses(g, v("logits"), v("targets"))),
      reference,
      1e-12,
    );
  });

  it("the token loss is finite for logits of any size", () => {
    const huge = tensor("f32", [1, 1, 2], [1e4, -1e4]);
    close(
      evaluate({ huge, t: ints([1, 1], [1]) }, (g, v) => tokenLosses(g, v("huge"), v("t"))),
      [2e4],
    );
  });

  it("the mean loss averages over the tokens whose mask is 1, and is 0 without any", () => {
    const mask = tensor("f32", [2, 3], [0, 1, 1, 0, 0, 1]);
    const mean = (m: Tensor): Tensor =>
      evaluate({ logits, targets, m }, (g, v) => meanLoss(g, tokenLosses(g, v("logits"), v("targets")), v("m")).loss);
    close(mean(mask), [(ensure(reference[1], "1") + ensure(reference[2], "2") + ensure(reference[5], "5")) / 3], 1e-12);
    strictEqual(mean(tensor("f32", [2, 3], [0, 0, 0, 0, 0, 0])).data[0], 0);
    strictEqual(
      evaluate({ logits, targets, mask }, (g, v) => countedLoss(g, tokenLosses(g, v("logits"), v("targets")), v("mask")).count).data[0],
      3,
    );
  });
});
