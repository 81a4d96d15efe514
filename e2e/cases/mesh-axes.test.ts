import { deepStrictEqual, doesNotMatch, match, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isOfType } from "@lapidary/api/run-events";
import { caseInput, tinyJob } from "../support/cases.js";
import { type Ended, Home } from "../support/cli.js";

interface Warned {
  readonly warnings: readonly { readonly code: string; readonly message: string; readonly place?: string; readonly remedy: string }[];
}

describe("mesh axes", function () {
  this.timeout(240_000);
  const home = new Home();
  after(() => home.clear());
  const json = <T>({ stdout }: Ended): T => JSON.parse(stdout) as T;
  const occurrences = (text: string, word: string): number => text.split(word).length - 1;

  describe("12-vocab-plus-one: a vocabulary that the model axis does not divide", () => {
    const job = caseInput("12-vocab-plus-one", "gemma-256001.yaml");
    // Layers are alike, and two of them are compiled sooner.
    const short = "model.layers=2";

    it("explain reports in `decided by` why dim 0 is whole", async () => {
      const { code, stdout } = await home.run("explain", job, "params/model.embed_tokens.weight", short);
      strictEqual(code, 0);
      match(stdout, /0 +256001 +vocab +whole +rule vocab → model: 256001 is not divisible by any part of model = 16/);
    });

    it("plan reports once what the rule costs and which size fits, and recommends that size", async () => {
      const { code, stdout, stderr } = await home.run("plan", job, short);
      strictEqual(code, 4);
      strictEqual(occurrences(stderr, "LAP_RULE_INDIVISIBLE"), 1);
      match(stderr, /rule vocab → model has no effect: 256001 .*instead of .*logits/);
      match(stderr, /model.vocab_size=256016/);
      match(stdout, /does not fit: .* model\.vocab_size=256016 makes it fit/);
      doesNotMatch(stdout, /more chips/);
    });

    it("plan reports that 2 of 16 chips split 256,002 rows", async () => {
      const ended = await home.run("plan", job, short, "model.vocab_size=256002", "--json");
      const { warnings } = json<Warned>(ended);
      deepStrictEqual(
        warnings.map(({ code, place }) => [code, place]),
        [["LAP_RULE_INDIVISIBLE", "rules.vocab"]],
      );
      match(warnings[0]?.message ?? "", /256002 is divisible by only 2 of model = 16: 8 chips hold the same part/);
      match(warnings[0]?.remedy ?? "", /256016/);
    });

    it("a vocabulary that 16 divides gives no warning", async () => {
      deepStrictEqual(json<Warned>(await home.run("explain", job, short, "model.vocab_size=256016", "--json")).warnings, []);
    });
  });

  describe("13-axis-that-shards-nothing: axes that no rule names", () => {
    for (const [command, axes, remedy] of [
      [["plan", "gemma-7b", "pods=1", "mesh={data: 16, fsdp: 16}", "train.batch=64"], ["fsdp"], /fsdp is "data": mesh=\{data: 256\}/],
      [["explain", tinyJob, "mesh={dp: 4, tp: 4}"], ["dp", "tp"], /dp is "data", tp is "model": mesh=\{data: 4, model: 4\}/],
      [["launch", tinyJob, "mesh={fsdp: 16}"], ["fsdp"], /fsdp is "data": mesh=\{data: 16\}/],
    ] as const)
      it(`${command[0]} rejects ${axes.join(" and ")} and lists the known names`, async () => {
        const ended = await home.run(...command, "--json");
        strictEqual(ended.code, 2);
        const { error } = json<{ readonly error: Warned["warnings"][number] }>(ended);
        strictEqual(error.code, "LAP_MESH_AXIS_UNKNOWN");
        strictEqual(error.place, `override ${command.find((word) => word.startsWith("mesh="))}`);
        for (const axis of axes) match(error.message, new RegExp(`"${axis}" \\(\\d+ chips\\)`));
        match(error.remedy, remedy);
        doesNotMatch(`${ended.stdout}${ended.stderr}`, /more chips/);
      });

    it("explain and plan report an axis whose name is known and that splits nothing: axis, copies, rules", async () => {
      for (const command of ["explain", "plan"]) {
        const { warnings } = json<Warned>(await home.run(command, tinyJob, "strategy=zero-3", "--json"));
        deepStrictEqual(
          warnings.map(({ code, place }) => [code, place]),
          [["LAP_MESH_AXIS_IDLE", "mesh.model"]],
        );
        match(warnings[0]?.message ?? "", /its 4 chips store and compute the same/);
        match(warnings[0]?.remedy ?? "", /heads → model/);
      }
    });

    it("launch reports such an axis, also for intended copies; run, log, report and page have the warning", async () => {
      strictEqual((await home.run("up", "--workers", "1")).code, 0);
      const ended = await home.run("launch", tinyJob, "mesh={data: 4, spare: 4}", "replicate=[spare]", "train.steps=2", "--name", "spare");
      strictEqual(ended.code, 0, ended.stderr);
      strictEqual(occurrences(ended.stderr, "LAP_MESH_AXIS_IDLE"), 1);
      match(ended.stderr, /mesh axis spare splits nothing: its 4 chips store and compute the same/);
      const { warnings, report } = (await home.json("jobs", "get", "spare")) as unknown as Warned & { readonly report: Warned };
      deepStrictEqual(
        warnings.map(({ code }) => code),
        ["LAP_MESH_AXIS_IDLE"],
      );
      deepStrictEqual(report.warnings, warnings);
      deepStrictEqual(
        (await home.events("spare")).filter(isOfType("warning_found")).map(({ code, place }) => [code, place]),
        [["LAP_MESH_AXIS_IDLE", "mesh.spare"]],
      );
      const { port, token } = JSON.parse(readFileSync(join(home.state, "coordinator.json"), "utf8")) as { port: number; token: string };
      const ask = async (path: string, body?: object): Promise<Warned & { readonly job?: Warned }> => {
        const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
        const post = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
        return (await (await fetch(`http://127.0.0.1:${port}${path}`, { headers, ...post })).json()) as Warned & { readonly job?: Warned };
      };
      deepStrictEqual((await ask("/api/jobs/spare/snapshot")).job?.warnings, warnings);
      const yaml = readFileSync(tinyJob, "utf8");
      const overrides = ["strategy=zero-3", `data.corpus=${caseInput("common/book.txt")}`];
      strictEqual((await ask("/api/validate", { yaml, overrides })).warnings[0]?.code, "LAP_MESH_AXIS_IDLE");
    });
  });

  describe("16-fraction-of-a-row: a batch_per_chip that gives no whole row", () => {
    const job = caseInput("16-fraction-of-a-row", "job.yaml");

    for (const command of [["config", "validate"], ["plan"], ["launch"]])
      it(`${command.join(" ")} rejects it at its location, with the fractions that fit`, async () => {
        const { code, stdout, stderr } = await home.run(...command, job);
        strictEqual(code, 2);
        const text = stdout + stderr;
        match(text, /LAP_CONFIG_VALUE: train\.batch_per_chip is 0\.001: .* 0\.016 rows/);
        match(text, /job\.yaml:8:3/);
        match(text, /0\.25 \(4 rows\) or 0\.5 \(8 rows\)/);
      });

    it("a fraction is not rounded, and one that gives whole rows is accepted", async () => {
      const rounded = await home.run("plan", job, "train.batch_per_chip=0.3");
      strictEqual(rounded.code, 2);
      match(rounded.stderr, /override train\.batch_per_chip=0\.3[^]*0\.25 \(4 rows\) or 0\.5 \(8 rows\)/);
      const { train } = (await home.json("config", "show", job, "train.batch_per_chip=0.25")) as {
        readonly train: { readonly batch: number };
      };
      strictEqual(train.batch, 4);
    });
  });
});
