import { readFileSync } from "node:fs";
import { compile, gradients, type Program, type RematPolicy } from "@lapidary/compiler";
import { type Graph, GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { type Mesh, parseMesh } from "@lapidary/topology";
import { type ChipSpec, parseChip } from "../chip/chip-spec.js";

/** Helpers for the tests of this package. */

export function chipNamed(name: string): ChipSpec {
  const file = new URL(`../../../../configs/chips/${name}.yaml`, import.meta.url);
  return parseChip(readFileSync(file, "utf8"), file.pathname);
}

export const v5e = chipNamed("v5e");

/** The chip with the rates of its data sheet, without losses. */
export const ideal = (chip: ChipSpec): ChipSpec => ({
  ...chip,
  calibrated: { matrix_efficiency: 1, vector_efficiency: 1, overlap_loss: 0, pod_delay: 0, hbm_efficiency: 1, dcn_efficiency: 1 },
});

export interface StepShape {
  readonly layers?: number;
  readonly batch?: number;
  readonly seq?: number;
  readonly width?: number;
  readonly heads?: number;
}

/** The training step of a small transformer with attention, an MLP and SGD. Names, roles and logical axes are like those of `models`. */
export function trainGraph({ layers = 2, batch = 16, seq = 64, width = 64, heads = 4 }: StepShape = {}): Graph {
  const g = new GraphBuilder("train_step");
  const headDim = width / heads;
  const weights: { name: string; value: Value; axes: readonly (string | null)[] }[] = [];
  const weight = (block: number, short: string, dims: readonly number[], axes: readonly (string | null)[]): Value => {
    const name = `model.layers.${block}.${short}.weight`;
    const value = g.inBlock(block, () => g.parameter(`params/${name}`, tensorType("f32", dims), axes, "param"));
    weights.push({ name, value, axes });
    return value;
  };
  const blocks = Array.from({ length: layers }, (_, i) => ({
    qkv: ["q", "k", "v"].map((n) => weight(i, n, [width, width], [`heads/${heads}`, "embed"])),
    out: weight(i, "o", [width, width], ["embed", `heads/${heads}`]),
    up: weight(i, "up", [4 * width, width], ["mlp", "embed"]),
    down: weight(i, "down", [width, 4 * width], ["embed", "mlp"]),
  }));
  const input = g.parameter("tokens", tensorType("f32", [batch, seq, width]), ["batch", "seq", null], "batch");
  const index = tensorType("i32", [seq, seq]);
  const bias = g.select(
    g.compare(g.iota(index, 1), g.iota(index, 0), "LE"),
    g.splat(0, tensorType("f32", [seq, seq])),
    g.splat(-1e30, tensorType("f32", [seq, seq])),
  );

  let x = input;
  blocks.forEach(({ qkv, out, up, down }, i) =>
    g.block("layers", i, () => {
      const [q, k, v] = qkv.map((w, n) =>
        g.reshape(g.named("qkv"[n] ?? "", g.dotGeneral(x, w, [], [[2, 1]])), [batch, seq, heads, headDim]),
      ) as [Value, Value, Value];
      const scores = g.named(
        "scores",
        g.dotGeneral(
          q,
          k,
          [
            [0, 0],
            [2, 2],
          ],
          [[3, 3]],
        ),
      ); // prettier-ignore
      const dims = scores.type.dims;
      const masked = g.add(scores, g.broadcastInDim(bias, dims, [2, 3]));
      const max = g.stopGradient(g.reduce(masked, [3], "max"));
      const e = g.named("exp", g.exponential(g.subtract(masked, g.broadcastInDim(max, dims, [0, 1, 2]))));
      const weighted = g.dotGeneral(
        e,
        v,
        [
          [0, 0],
          [1, 2],
        ],
        [[3, 1]],
      ); // prettier-ignore
      const mixed = g.divide(weighted, g.broadcastInDim(g.reduce(e, [3], "sum"), weighted.type.dims, [0, 1, 2]));
      x = g.named(
        "after_attn",
        g.add(
          x,
          g.dotGeneral(
            mixed,
            g.reshape(out, [width, heads, headDim]),
            [],
            [
              [1, 1],
              [3, 2],
            ],
          ),
        ),
      ); // prettier-ignore
      const hidden = g.tanh(g.named("up", g.dotGeneral(x, up, [], [[2, 1]])));
      x = g.named("after_mlp", g.add(x, g.named("down", g.dotGeneral(hidden, down, [], [[2, 1]]))));
    }),
  );
  const loss = g.named("loss", g.scale(g.reduce(g.square(x), [0, 1, 2], "sum"), 1 / (batch * seq)));
  const grads = gradients(
    g,
    loss,
    weights.map(({ value }) => value),
  ); // prettier-ignore
  g.inPhase("update", () =>
    weights.forEach(({ name, value, axes }, i) => {
      const gradient = g.named(`grads/${name}`, grads[i] as Value, axes, "gradient");
      g.output(value.name, g.subtract(value, g.scale(gradient, 0.1)));
    }),
  );
  g.output("loss", loss);
  return g.finish();
}

export interface ProgramShape extends StepShape {
  readonly mesh: string;
  readonly zero?: 0 | 1 | 2 | 3;
  readonly remat?: RematPolicy;
}

/** Compiled for a mesh of axes `pod`, `data` and `model`. */
export function trainProgram({ mesh: text, zero = 3, remat = "full", ...shape }: ProgramShape): Program {
  const mesh: Mesh = parseMesh(text);
  const has = (axis: string): boolean => mesh.axes.some(({ name }) => name === axis);
  const rules = { batch: ["pod", "data"].filter(has), ...(has("model") ? { heads: "model", mlp: "model" } : {}) };
  return compile(trainGraph(shape), { mesh, rules, zero: { stage: zero, axes: has("data") ? ["data"] : [] }, remat });
}
