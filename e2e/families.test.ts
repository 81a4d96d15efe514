import { strictEqual } from "node:assert/strict";
import { paramsOf } from "@lapidary/models";
import { parseMesh } from "@lapidary/topology";
import { openPool, openSession } from "@lapidary/trainer";
import { buildOptionsOf, defaultRules, parityFailures, parityTolerances, readParityBundle, runParity } from "@lapidary/training";
import { golden } from "./support/golden.js";

describe("parity of model families with transformers", function () {
  this.timeout(300_000);
  let pool: Awaited<ReturnType<typeof openPool>>;
  before(async () => {
    pool = await openPool({ environment: process.env, workers: 4 });
  });
  after(() => pool.close());

  // Enough capacity for every token.
  const moe = { dispatch: "capacity", capacity_factor: 4 } as const;
  const cases = [
    { bundle: "gemma2", mesh: "data=2,model=2", zero: 3, workers: 2, executor: "stacked" },
    { bundle: "gemma2", mesh: "model=4", zero: 0, workers: 1, executor: "stacked" },
    { bundle: "gemma3", mesh: "data=4", zero: 2, workers: 4, executor: "stacked" },
    { bundle: "gemma3", mesh: "data=2,model=2", zero: 1, workers: 1, executor: "stacked" },
    { bundle: "llama", mesh: "data=4,model=4", zero: 3, workers: 4, executor: "stacked" },
    { bundle: "llama", mesh: "pod=2,model=2", zero: 1, workers: 2, executor: "chipwise" },
    { bundle: "qwen3", mesh: "data=2,model=2", zero: 3, workers: 2, executor: "stacked" },
    { bundle: "qwen3", mesh: "data=2", zero: 2, workers: 1, executor: "stacked", microbatches: 2 },
    { bundle: "mixtral", mesh: "data=2,model=2", zero: 3, workers: 2, executor: "stacked" },
    { bundle: "mixtral", mesh: "data=2", zero: 1, workers: 1, executor: "stacked", pieces: 4 },
    { bundle: "qwen3moe", mesh: "data=4,model=2", zero: 3, workers: 4, executor: "stacked" },
    { bundle: "qwen3moe", mesh: "model=2", zero: 0, workers: 1, executor: "stacked" },
    { bundle: "mixtral", mesh: "expert=4", zero: 3, workers: 2, executor: "stacked", moe },
    { bundle: "mixtral", mesh: "data=2,expert=2,model=2", zero: 2, workers: 4, executor: "stacked", moe },
    { bundle: "qwen3moe", mesh: "data=2,expert=2", zero: 3, workers: 1, executor: "chipwise", moe },
    { bundle: "qwen3moe", mesh: "data=2,expert=4,context=8,model=4", zero: 3, workers: 4, executor: "stacked", moe },
    { bundle: "mixtral", mesh: "data=2,expert=4", zero: 3, workers: 2, executor: "stacked", moe: { dispatch: "dropless" } },
    // Layers with a window send the positions before their blocks, and no layer gathers keys.
    { bundle: "gemma2", mesh: "data=2,context=4", zero: 3, workers: 2, executor: "stacked", context: { strategy: "ring" } },
    { bundle: "gemma3", mesh: "context=4", zero: 1, workers: 1, executor: "chipwise", context: { strategy: "ring" } },
    {
      bundle: "llama",
      mesh: "data=2,context=4,model=2",
      zero: 3,
      workers: 4,
      executor: "stacked",
      context: { strategy: "ring", balance: true },
    },
    { bundle: "qwen3", mesh: "context=4", zero: 2, workers: 2, executor: "stacked", context: { strategy: "all_gather", balance: true } },
    { bundle: "mixtral", mesh: "context=2,model=2", zero: 0, workers: 1, executor: "stacked", context: { strategy: "heads" } },
    {
      bundle: "qwen3moe",
      mesh: "context=4",
      zero: 3,
      workers: 2,
      executor: "stacked",
      context: { strategy: "ring", balance: true },
    },
  ] as const;
  for (const { bundle: name, mesh: text, zero, workers, executor, ...loss } of cases)
    it(`parity holds for ${name} on ${text}, ZeRO ${zero}, ${workers} worker${workers === 1 ? "" : "s"}, ${executor}${"context" in loss ? `, ${JSON.stringify(loss.context)}` : ""}`, async () => {
      const bundle = await readParityBundle(golden(`families/${name}`));
      const chunks = "pieces" in loss ? { count: loss.pieces, seqParts: 1 } : undefined;
      const microbatches = "microbatches" in loss ? loss.microbatches : 1;
      const mesh = parseMesh(text);
      const rules = defaultRules(mesh, paramsOf(bundle.config));
      const build = buildOptionsOf({
        mesh: mesh.axes,
        rules,
        model: { config: bundle.config },
        ...("moe" in loss ? { moe: loss.moe } : {}),
        ...("context" in loss ? { context: loss.context } : {}),
      });
      const session = await openSession({ mesh, workers, executor, zero, rules, environment: process.env, pool });
      try {
        strictEqual(
          parityFailures(await runParity(bundle, session, { chunks, microbatches, build }), parityTolerances("f32")).join("; "),
          "",
        );
      } finally {
        await session.close();
      }
    });
});
