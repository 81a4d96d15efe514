import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Home } from "./cli.js";

/** The model and the chips of a job. */
export const modelOf = (layers: number, mesh: string, torus: string): string =>
  `model: { vocab_size: 300, model_dim: 32, layers: ${layers}, heads: 4, kv_heads: 4, head_dim: 8, mlp_dim: 64, context_length: 64 }
pod: { torus: ${torus}, chip: v5e, host: ${torus} }
mesh: ${mesh}
zero: 3
workers: 2
`;

/** Job files of a model and of its post-training on the examples of `addExamples`. */
export const jobsOf = (
  model: string,
): { base: string; pairs: (recipe: string, more?: string) => string; rl: (reward: string, more?: string) => string } => ({
  base: `${model}train: { steps: 2, batch: 4, optimizer: { name: adamw, lr: 0.003 } }
data: { corpus: corpus, held_out: 0.2 }
`,
  pairs: (recipe, more = "") => `recipe: ${recipe}
init: base
${model}train: { steps: 12, batch: 8, seq: 24, optimizer: { name: adamw, lr: 0.01 } }
data: { train: [{ path: pairs.jsonl }], eval: [{ path: pairs.jsonl }] }
${more}`,
  rl: (reward, more = "") => `recipe: rl
init: base
${model}train: { steps: 6, batch: 16, seq: 24, optimizer: { name: adamw, lr: 0.01 } }
data: { train: [{ path: prompts.jsonl }], eval: [{ path: prompts.jsonl }] }
reward: ${reward}
rl: { algorithm: rloo, generations: 4, beta: 0.05, truncated: score, rollout: { max_new_tokens: 4 }${more} }
checkpoint: { every: 4 }
`,
});

export const checker = `[{ checker: ./large.mjs }]`;
const lines = (rows: readonly object[]): string => rows.map((row) => JSON.stringify(row)).join("\n");

export function writeFile(home: Home, name: string, text: string): string {
  const path = join(home.directory, name);
  writeFileSync(path, text);
  return path;
}

/** Writes pairs whose better answer has two letters a, prompts, and a checker of the share of lower-case letters, so that a random answer has a chance. */
export function addExamples(home: Home): void {
  const pairs = Array.from({ length: 16 }, (_, n) => ({ prompt: `${n}`, chosen: `aa${n}`, rejected: `zz${n}` }));
  writeFile(home, "pairs.jsonl", lines(pairs));
  writeFile(home, "prompts.jsonl", lines(Array.from({ length: 12 }, (_, n) => ({ prompt: `${n}` }))));
  writeFile(home, "large.mjs", `export function check({ answer }) { return [...answer].filter((c) => c >= "a" && c <= "z").length / 4 }\n`);
}

interface MetricsRow {
  readonly kind: string;
  readonly metrics?: Readonly<Record<string, number>>;
}

/** The further metrics of the rows of a run. */
export const metricsOf = (home: Home, run: string, kind: string): Readonly<Record<string, number>>[] =>
  readFileSync(join(home.state, "runs", run, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as MetricsRow & { value?: MetricsRow })
    .map((line) => line.value ?? line)
    .filter((row) => row.kind === kind)
    .map(({ metrics = {} }) => metrics);
