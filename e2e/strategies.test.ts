import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { type Program, bytesPerChip, collectivesOf, stateBytesPerChip } from "@lapidary/compiler";
import { sizeOf } from "@lapidary/ir";
import { buildModel, parameterCount } from "@lapidary/models";
import { compileStep, gemma2b, gemma7b, nano16, strategies } from "./support/strategies.js";

/** Counts of the collectives that move more than a number for each token, by kind, axis and phase. */
function bigCollectives(program: Program, tokensPerChip: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of collectivesOf(program.chip)) {
    const input = program.chip.values[value.inputs[0] ?? 0];
    if (input === undefined || Math.max(sizeOf(value.type.dims), sizeOf(input.type.dims)) <= tokensPerChip) continue;
    const axes = "axes" in value.attrs ? value.attrs.axes.join("+") : "";
    const key = `${value.op} ${axes} ${value.scope.phase}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

/** Bytes that the small collectives move: scalars of loss and norm, and three numbers a token for the loss over a sharded vocabulary. */
function smallBytes(program: Program, tokensPerChip: number): number {
  return collectivesOf(program.chip).reduce((sum, value) => {
    const input = program.chip.values[value.inputs[0] ?? 0];
    return input !== undefined && Math.max(sizeOf(value.type.dims), sizeOf(input.type.dims)) <= tokensPerChip
      ? sum + bytesPerChip(value, input)
      : sum;
  }, 0);
}

const layers = nano16.layers;
const params = 2 + 9 * layers;
const norms = 1 + 2 * layers;
const matrices = 1 + 7 * layers;

describe("strategies on nano16 and 256 chips", function () {
  this.timeout(120_000);

  it("data parallelism reduces each gradient once, and otherwise sends only scalars", () => {
    const program = compileStep(nano16, strategies.data, { batch: 256, seq: 32 }, { clip: 1 });
    deepStrictEqual(bigCollectives(program, 32), { "all_reduce data backward": params });
  });

  it("ZeRO-1 reduces whole gradients and gathers the new params; ZeRO-2 scatters the gradients instead", () => {
    deepStrictEqual(summed(compileStep(nano16, strategies["zero-1"], { batch: 256, seq: 32 })), {
      "all_reduce backward": params,
      "all_gather update": params,
    });
    const two = summed(compileStep(nano16, strategies["zero-2"], { batch: 256, seq: 32 }));
    strictEqual(two["reduce_scatter backward"], params);
    strictEqual(two["all_gather update"], params);
  });

  it("ZeRO-3 gathers a param once a pass in the passes that use it, and scatters each gradient once", () => {
    const program = compileStep(nano16, strategies["tensor + zero-3"], { batch: 16, seq: 32 }, { clip: 1 });
    const counts = bigCollectives(program, 32);
    strictEqual(counts["all_gather data forward"], params);
    // The backward pass reads matrices, but not the gains of norms, because it uses stored values of the forward pass instead.
    strictEqual(counts["all_gather data backward"], matrices);
    strictEqual(counts["reduce_scatter data backward"], params);
    const held = stateBytesPerChip(program.chip);
    const whole = 4 * parameterCount(buildModel(nano16));
    const normBytes = 4 * norms * nano16.modelDim;
    // All 256 chips split matrices. Rules do not split norms over model, so only the 16 chips of data split them.
    strictEqual(held.params, (whole - normBytes) / 256 + normBytes / 16);
    strictEqual(held.optimizer, 2 * held.params + stepBytes(program));
  });

  it("buckets join the gradients of all norms in one collective, with the same bytes", () => {
    const step = (bucketBytes: number): Program =>
      compileStep(nano16, strategies["zero-3"], { batch: 256, seq: 32 }, { clip: 1, bucketBytes });
    // A gain has 64 numbers, so one bucket can contain all gains, but not for a matrix and another array.
    const [apart, together] = [step(0), step(norms * 64 * 4)];
    const ofGains = (program: Program): number => collectivesOf(program.chip).filter(({ name }) => name.includes("norm.weight")).length;
    strictEqual(ofGains(apart), 2 * norms); // gathered once, scattered once
    strictEqual(ofGains(together), 2);
    const bytes = ({ chip }: Program): number =>
      collectivesOf(chip).reduce((sum, v) => sum + bytesPerChip(v, chip.values[v.inputs[0] ?? 0] ?? v), 0);
    strictEqual(bytes(together), bytes(apart));
  });

  it("tensor parallelism has the all_reduces of Megatron: one after attention, one after the MLP, in each direction", () => {
    const program = compileStep(nano16, strategies.tensor, { batch: 16, seq: 32 });
    const counts = bigCollectives(program, 32);
    // and one each for the embedding over a sharded vocabulary, forward and backward
    strictEqual(counts["all_reduce model forward"], 2 * layers + 1);
    strictEqual(counts["all_reduce model backward"], 2 * layers + 1);
    deepStrictEqual(
      Object.keys(counts)
        .filter((key) => !key.includes("data"))
        .sort(),
      ["all_reduce model backward", "all_reduce model forward"],
    );
  });

  it("tensor + sequence has reduce_scatter and all_gather pairs instead", () => {
    const counts = bigCollectives(compileStep(nano16, strategies["tensor + sequence"], { batch: 16, seq: 32 }), 64);
    const overModel = Object.fromEntries(Object.entries(counts).filter(([key]) => key.includes(" model ")));
    deepStrictEqual(overModel, {
      "reduce_scatter model forward": 2 * layers + 1,
      "all_gather model forward": 2 * layers + 1,
      "all_gather model backward": 2 * layers + 1,
      "reduce_scatter model backward": 2 * layers + 1,
    });
  });

  it("over two pods gradients are scattered inside a pod and only their shards cross the data-centre network", () => {
    const program = compileStep(nano16, strategies["multi-pod"], { batch: 16, seq: 32 });
    const overPods = collectivesOf(program.chip).filter((v) => "axes" in v.attrs && v.attrs.axes.join() === "pod");
    strictEqual(overPods.length, params);
    ok(overPods.every((v) => v.op === "all_reduce"));
    const crossed = overPods.reduce((sum, v) => sum + bytesPerChip(v, v), 0);
    ok(
      crossed <= stateBytesPerChip(program.chip).params + 1,
      `${crossed} bytes cross for ${stateBytesPerChip(program.chip).params} of params`,
    );
  });

  it("no strategy gathers the logits of a sharded vocabulary", () => {
    for (const name of ["tensor", "tensor + zero-3", "tensor + sequence", "multi-pod"] as const) {
      const program = compileStep(nano16, strategies[name], { batch: 16, seq: 32 });
      const wide = program.chip.values.filter((v) => v.type.dims.includes(nano16.vocabSize));
      deepStrictEqual(
        wide.map((v) => v.name),
        [],
        name,
      );
      ok(smallBytes(program, 64) < 4096, name);
    }
  });
});

describe("Gemma on the pods it was trained on", function () {
  this.timeout(120_000);

  it("the 7B job compiles for 16-way model × 16-way data in each of 16 pods", () => {
    const program = compileStep(
      gemma7b,
      {
        mesh: { pod: 16, data: 16, model: 16 },
        rules: { batch: ["pod", "data"], heads: "model", kv_heads: "model", mlp: "model", vocab: "model" },
        zero: 3,
      },
      { batch: 256, seq: 8192 },
      { remat: "full" },
    );
    const counts = summed(program);
    const all = 2 + 9 * 28;
    strictEqual(counts["reduce_scatter backward"], all);
    strictEqual(counts["all_gather forward"], all);
    strictEqual(collectivesOf(program.chip).filter((v) => "axes" in v.attrs && v.attrs.axes.join() === "pod").length, all);
    const held = stateBytesPerChip(program.chip);
    const total = 786_825_216 + 7_751_248_896;
    strictEqual(parameterCount(buildModel(gemma7b)), total);
    const normParams = 57 * 3072;
    strictEqual(held.params, (4 * (total - normParams)) / 256 + (4 * normParams) / 16);
    // ZeRO-3: 16 bytes of parameter, gradient and moments for each parameter, over the chips of a pod.
    ok(Math.abs(held.params + held.optimizer + held.gradients - (16 * total) / 256) / ((16 * total) / 256) < 0.01);
  });

  it("the 2B job compiles for 256-way data in each of 2 pods", () => {
    const program = compileStep(
      gemma2b,
      { mesh: { pod: 2, data: 256 }, rules: { batch: ["pod", "data"] }, zero: 3 },
      { batch: 512, seq: 8192 },
      { remat: "full" },
    );
    const total = 524_550_144 + 1_981_884_416;
    strictEqual(parameterCount(buildModel(gemma2b)), total);
    strictEqual(stateBytesPerChip(program.chip).params, (4 * total) / 256);
    deepStrictEqual([...new Set(collectivesOf(program.chip).flatMap((v) => ("axes" in v.attrs ? [v.attrs.axes.join("+")] : [])))].sort(), [
      "data",
      "pod",
      "pod+data",
    ]);
  });
});

/** Counts by kind and phase, over all axes, without scalars. */
function summed(program: Program): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of collectivesOf(program.chip)) {
    const input = program.chip.values[value.inputs[0] ?? 0];
    if (
      input === undefined ||
      Math.max(sizeOf(input.type.dims), sizeOf(value.type.dims)) <= 1 ||
      (value.op === "all_reduce" && !value.name.startsWith("grads/"))
    )
      continue;
    const key = `${value.op} ${value.scope.phase}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

const stepBytes = (program: Program): number =>
  program.chip.values.some((v) => v.op === "parameter" && v.attrs.name === "step" && v.role === "optimizer") ? 4 : 0;
