import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDataReport, type SubmitPipeline } from "@lapidary/api";
import type { CoordinatorClient } from "@lapidary/api/client";
import { readPublished } from "@lapidary/mixture";
import { jobFileOf, resolveJob } from "@lapidary/training";
import { endOf, eventOf, Harness, projectRoot } from "./testing/harness.js";

describe("data pipelines in the queue", function () {
  this.timeout(120_000);
  const harness = new Harness();
  let client: CoordinatorClient;
  before(async () => {
    for (const i of [0, 1, 2, 3]) {
      const text = readFileSync(join(harness.corpus, `${i}.txt`), "utf8").slice(0, 12_000);
      writeFileSync(join(harness.directory, `text-${i}.jsonl`), jsonlOf(text));
    }
    client = await harness.start();
  });
  after(() => harness.remove());

  /** Documents of 400 characters. */
  const jsonlOf = (text: string): string =>
    (text.match(/[\s\S]{1,400}/g) ?? []).map((part) => `${JSON.stringify({ text: part })}\n`).join("");

  /** A pipeline file over some texts of the corpus of the harness. */
  function pipelineFile(name: string, { shard = "1MB", rule = "gopher.words < 5" } = {}): string {
    const file = join(harness.directory, `${name}.yaml`);
    writeFileSync(
      file,
      `sources:
  prose: { read: ./text-*.jsonl, licence: CC0-1.0 }
stages:
  - measure: [gopher]
  - rules: { short: ${rule} }
  - tokenize: { train: { size: 400, from: 20kB } }
out: ./${name}
shard: ${shard}
`,
    );
    return file;
  }
  const dataJob = (name: string, file: string): Record<string, unknown> => ({ recipe: "data", name, pipeline: file, workers: 1 });
  const reportOf = async (id: string) => {
    const report = await client.report(id);
    ok(isDataReport(report));
    return report;
  };

  it("a data job takes no chips, is listed with its stages, and its report says what stays", async () => {
    const { id } = await client.submit({ job: dataJob("prose", pipelineFile("prose")) });
    strictEqual((await endOf(client, id)).state, "done");
    const { step, steps, chips, dataset, model } = await client.get(id);
    deepStrictEqual([step, steps, chips, dataset, model], [4, 4, 0, "prose", "data"]);
    const report = await reportOf(id);
    deepStrictEqual([report.documents_in, report.documents, report.out, report.found], [120, 120, join(harness.directory, "prose"), 0]);
    deepStrictEqual(Object.keys(readPublished(report.out).sources), ["prose"]);
    strictEqual((await client.status()).pods, undefined);
  });

  it("a cancelled data job goes on where it stopped, with the file as it is then", async () => {
    const file = pipelineFile("stopped", { shard: "8kB" });
    const { id } = await client.submit({ job: dataJob("stopped", file) });
    await eventOf(client, id, ({ event, data }) => event === "state" && "activity" in data && data.activity !== undefined);
    await client.cancel(id);
    strictEqual((await endOf(client, id)).state, "cancelled");
    ok(!existsSync(join(harness.directory, "stopped/dataset.json")));
    await rejects(client.resume(id, { overrides: ["out=x"] }), { code: "LAP_RESUME_CHANGES" });
    strictEqual((await client.resume(id)).goes_on, true);
    strictEqual((await endOf(client, id)).state, "done");
    // A run that finds everything computes nothing.
    const again = await client.submit({ job: dataJob("again", file) });
    await endOf(client, again.id);
    const [first, second] = [await reportOf(id), await reportOf(again.id)];
    deepStrictEqual([second.computed, second.found, second.sources], [0, first.computed + first.found, first.sources]);
  });

  it("a pipeline of jobs waits for its data, and a training that does not need the data is refused", async () => {
    const train = jobFileOf(
      resolveJob(
        { text: harness.job({ slice: "4x4", mesh: "{ data: 4, model: 4 }", steps: 1 }), file: "job", base: "/" },
        [`data={ pipeline: ${join(harness.directory, "chained")} }`],
        { configsDir: join(projectRoot, "configs"), base: "/" },
      ),
    ) as SubmitPipeline["jobs"][number]["job"];
    const pipeline = (needs: string[]): SubmitPipeline => ({
      name: "chain",
      like: "chain",
      jobs: [
        { name: "corpus", job: dataJob("corpus", pipelineFile("chained", { rule: "bytes < 0" })) },
        { name: "base", needs, job: train },
      ],
    });
    await rejects(client.submitPipeline(pipeline([])), (error: { code?: string }) =>
      /LAP_DATA_MISSING|LAP_PIPELINE_INIT/.test(error.code ?? ""),
    );
    const { jobs } = await client.submitPipeline(pipeline(["corpus"]));
    deepStrictEqual(
      jobs.map(({ run, needs }) => [run, needs]),
      [
        ["chain-corpus", []],
        ["chain-base", ["corpus"]],
      ],
    );
    strictEqual((await endOf(client, "chain-corpus")).state, "done");
    deepStrictEqual(await endOf(client, "chain-base").then(({ state, error }) => [state, error?.message]), ["done", undefined]);
    ok("heldout_losses" in (await client.report("chain-base")));
  });

  it("a mistake in a data job or its file is reported before it waits", async () => {
    await rejects(client.submit({ job: { recipe: "data", name: "x", pipeline: "relative.yaml" } }), { code: "LAP_CONFIG_VALUE" });
    const file = join(harness.directory, "bad.yaml");
    writeFileSync(file, "sources: {}\nstages: [{ measur: [gopher] }]\nout: ./bad\n");
    await rejects(client.submit({ job: dataJob("bad", file) }), { code: "LAP_DATA_PIPELINE" });
    ok((await client.list({})).jobs.every(({ id }) => !id.startsWith("bad")));
  });
});
