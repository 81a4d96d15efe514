import { execFileSync } from "node:child_process";
import { match } from "node:assert/strict";
import { join } from "node:path";
import { Home, root } from "./support/cli.js";

/** `judge.py` scores the answers. It exits with 1 if one bar does not hold. */
const fixtures = join(root, "e2e/golden/data");
const tasks = [
  "classify",
  "clusters",
  "decode",
  "decontamination",
  "encode",
  "extract",
  "filters",
  "ingest",
  "memorisation",
  "mixture",
  "pairs",
  "pii",
  "stream",
  "substrings",
  "trained",
];

describe("answers about fixtures of training data", function () {
  this.timeout(300_000);
  const home = new Home();
  after(() => home.clear());

  for (const task of tasks)
    it(`the answers of ${task} hold every bar of the judge`, async () => {
      const answers = join(home.directory, `${task}.jsonl`);
      await home.json("data", "judge", task, fixtures, "-o", answers);
      const scores = execFileSync(process.env.LAPIDARY_PYTHON ?? "python3", [join(fixtures, "judge.py"), task, fixtures, answers], {
        encoding: "utf8",
      });
      match(scores, /^ok /m);
    });

  it("an unknown task is refused with the nearest name", async () => {
    const { code, stderr } = await home.run("data", "judge", "memorization", fixtures, "-o", join(home.directory, "none.jsonl"));
    match(`${code} ${stderr}`, /^2 [^]*LAP_JUDGE_TASK[^]*memorisation/);
  });

  it("a directory without fixtures is refused with the missing file", async () => {
    const { code, stderr } = await home.run("data", "judge", "memorisation", home.directory, "-o", join(home.directory, "none.jsonl"));
    match(`${code} ${stderr}`, /^2 [^]*LAP_FILE_[^]*cases\.jsonl/);
  });
});
