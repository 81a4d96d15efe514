import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { paramsOf } from "@lapidary/models";
import { type PostCheck, readPostBundle, runPostParity } from "@lapidary/post-training";
import { parseMesh } from "@lapidary/topology";
import { openPool, openSession } from "@lapidary/trainer";
import { defaultRules } from "@lapidary/training";
import { Home } from "./support/cli.js";
import { golden } from "./support/golden.js";

/** What `lapidary parity --json` prints for a bundle of post-training. */
interface PostParityJson {
  readonly ok: boolean;
  readonly chips: number;
  readonly mesh: string;
  readonly parts: readonly string[];
  readonly checks: readonly PostCheck[];
}

const parts = ["chat", "sft", "lora", "reward", "dpo", "rollout", "rloo", "grpo", "ppo", "generation"];

/** Every part is compared, every value agrees, and every known mistake is excluded. Tolerances are repeated here so that a change fails the test. */
function expectParity(checks: readonly PostCheck[]): void {
  deepStrictEqual(
    checks.filter((check) => !check.ok || check.undetectable),
    [],
  );
  deepStrictEqual([...new Set(checks.map(({ part }) => part))], parts);
  strictEqual(checks.length, 136);
  strictEqual(checks.filter(({ mistake }) => mistake).length, 19);
  for (const { part, value, deviation, tolerance, mistake } of checks) {
    const limit = value.startsWith("tokens_counted") || value.endsWith(" tokens_counted") ? 1e-3 : 1e-4;
    ok(tolerance <= limit, `${part} ${value}: ${tolerance}`);
    if (!mistake) ok(deviation <= tolerance, `${part} ${value}: ${deviation}`);
  }
}

describe("parity with TRL, PEFT and transformers", function () {
  this.timeout(300_000);
  let pool: Awaited<ReturnType<typeof openPool>> | undefined;
  before(async () => {
    pool = await openPool({ environment: process.env, workers: 2 });
  });
  after(() => pool?.close());

  for (const name of ["pod16x16", "mqa"])
    it(`lapidary parity holds for post/${name} on 16×16 chips, 16-way data × 16-way model, ZeRO-3`, async () => {
      const home = new Home();
      try {
        const args = [golden(`post/${name}`), "--torus", "16x16", "--mesh", "data=16,model=16", "--zero", "3"];
        const result = (await home.json("parity", ...args)) as unknown as PostParityJson;
        deepStrictEqual([result.ok, result.chips, result.mesh, result.parts], [true, 256, "data=16,model=16", parts]);
        expectParity(result.checks);
        strictEqual(home.processes().join("\n"), "");
      } finally {
        await home.clear();
      }
    });

  const cases = [
    { bundle: "mqa", mesh: "data=2,model=4", zero: 1, workers: 2 },
    { bundle: "pod16x16", mesh: "pod=2,data=2,model=2", zero: 3, workers: 2 },
  ] as const;
  for (const { bundle: name, mesh: text, zero, workers } of cases)
    it(`parity holds for post/${name} on ${text}, ZeRO ${zero}, ${workers} workers`, async () => {
      const bundle = await readPostBundle(golden(`post/${name}`));
      const mesh = parseMesh(text);
      const rules = defaultRules(mesh, paramsOf(bundle.config));
      const session = await openSession({ mesh, workers, zero, rules, environment: process.env, ...(pool === undefined ? {} : { pool }) });
      try {
        expectParity(await runPostParity(bundle, session));
      } finally {
        await session.close();
      }
    });

  it("lapidary parity --part runs only the named parts, also one chip after the other", async () => {
    const home = new Home();
    try {
      const args = ["parity", golden("post/mqa"), "--mesh", "data=2", "--zero", "2", "--executor", "chipwise", "--part", "rollout,chat"];
      const result = (await home.json(...args)) as unknown as PostParityJson;
      deepStrictEqual([result.ok, result.chips, result.parts], [true, 2, ["chat", "rollout"]]);
      deepStrictEqual([...new Set(result.checks.map(({ part }) => part))], ["chat", "rollout"]);
    } finally {
      await home.clear();
    }
  });
});
