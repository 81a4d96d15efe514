import { equal, match, ok } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExitCode } from "@lapidary/std";
import { projectRoot } from "../context.js";
import { runInDirectory } from "../testing/run-command-line.js";

const tiny = join(projectRoot, "e2e/cases/common/tiny.yaml");

describe("lapidary plan --html", function () {
  this.timeout(60_000);
  const directory = mkdtempSync(join(tmpdir(), "lapidary-plan-"));
  after(() => rmSync(directory, { recursive: true }));

  it("the plan is printed as usual, and the file is the page that `-o html` prints", async () => {
    const { exit, stdout } = await runInDirectory(directory, ["plan", tiny, "--html", "plan.html"]);
    equal(exit, ExitCode.done);
    match(stdout, /a step on/);
    const page = readFileSync(join(directory, "plan.html"), "utf8");
    equal((await runInDirectory(directory, ["plan", tiny, "-o", "html"])).stdout.trimEnd(), page.trimEnd());
    ok(page.startsWith("<!doctype html>"));
  });

  it("a search and the text of a step have no page", async () => {
    for (const words of [[tiny, "--search"], [join(projectRoot, "e2e/golden/stablehlo/llama_fsdp8/step.loc.mlir")]]) {
      const { exit, stderr } = await runInDirectory(directory, ["plan", ...words, "--html", "no.html"]);
      equal(exit, ExitCode.usage);
      match(stderr, /LAP_CLI_ARGUMENT: [^]*--html/);
    }
  });
});
