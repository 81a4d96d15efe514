import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readSafetensors } from "@lapidary/interop";
import { checkpointOf } from "./support/committed-steps.js";
import { Home } from "./support/cli.js";

const [steps, batch, seq, experts, perToken] = [3, 4, 16, 4, 2] as const;
const job = `model:
  family: qwen3moe
  vocab_size: 300
  model_dim: 16
  layers: 2
  heads: 2
  kv_heads: 2
  head_dim: 8
  mlp_dim: 16
  context_length: ${seq}
  experts: { count: ${experts}, per_token: ${perToken}, mlp_dim: 8, aux_weight: 0.01 }
pod: { torus: 2x2, chip: v5e, host: 2x2 }
mesh: { data: 2, expert: 2 }
moe: { capacity_factor: 0.75 }
zero: 3
workers: 2
train: { steps: ${steps}, batch: ${batch}, optimizer: { name: adamw, lr: 0.003 } }
data: { corpus: corpus, held_out: 0.2 }
`;

/** A row of `metrics.jsonl`. */
interface Row {
  readonly kind: string;
  readonly metrics?: Readonly<Record<string, number>>;
}

describe("a run of a mixture of experts", function () {
  this.timeout(300_000);
  let home: Home;
  before(async () => {
    home = new Home();
    writeFileSync(join(home.directory, "moe.yaml"), job);
    await home.json("up");
    await home.json("launch", join(home.directory, "moe.yaml"), "--name", "moe");
  });
  after(() => home.clear());

  it("each step counts every choice of the batch, and the share that it drops", () => {
    const text = readFileSync(join(home.state, "runs/moe/metrics.jsonl"), "utf8");
    const rows = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Row)
      .filter(({ kind }) => kind === "train");
    equal(rows.length, steps);
    for (const { metrics = {} } of rows) {
      const sum = (prefix: string): number =>
        Array.from({ length: experts }, (_, e) => metrics[`${prefix}.${e}`] ?? Number.NaN).reduce((a, b) => a + b);
      equal(sum("expert_tokens"), 2 * batch * seq * perToken);
      const share = sum("expert_dropped") / sum("expert_tokens");
      // The slots of a row are fewer than its choices.
      ok(share >= 0.25 && Math.abs(share - (metrics["expert_dropped_share"] ?? 0)) < 1e-6);
    }
  });

  it("the checkpoint has each expert under its name in transformers, and a run on another mesh starts from it", async () => {
    const directory = checkpointOf(home, "moe", steps);
    const weights = await readSafetensors(join(directory, "model.safetensors"));
    const names = [...weights.keys()].filter((name) => name.includes("layers.1.mlp.experts"));
    equal(names.length, 3 * experts);
    deepStrictEqual(weights.get("model.layers.1.mlp.experts.3.down_proj.weight")?.dims, [16, 8]);
    await home.json("ckpt", "verify", "moe");
    await home.json("launch", join(home.directory, "moe.yaml"), "mesh={ expert: 4 }", "train.init=moe", "train.steps=1", "--name", "again");
    ok((await readSafetensors(join(checkpointOf(home, "again", 1), "model.safetensors"))).size === weights.size);
  });

  it("a key of MaxText is refused with the key of Lapidary", async () => {
    const { code, stderr } = await home.run("launch", join(home.directory, "moe.yaml"), "ici_expert_parallelism=4");
    equal(code, 2);
    match(stderr, /mesh: \{ expert: 4 \}/);
  });
});
