import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ExitCode } from "@lapidary/std";
import { runCli } from "./testing/cli-process.js";

describe("the lapidary process", () => {
  it("loads nothing heavy before it knows what it is asked", () => {
    const packages = new Set<string>();
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const [, specifier = ""] of readFileSync(file, "utf8").matchAll(/^(?:import|export) .*?from "([^"]+)";/gm)) {
        if (specifier.startsWith(".")) visit(resolve(dirname(file), specifier));
        else if (!specifier.startsWith("node:")) packages.add(specifier);
      }
    };
    visit(fileURLToPath(new URL("main.js", import.meta.url)));
    deepStrictEqual([...packages].sort(), ["@lapidary/std", "commander"]);
  });

  it("prints its version, as JSON where that is asked for", async () => {
    const { code, stdout } = await runCli(["version", "--json"]);
    const facts: unknown = JSON.parse(stdout);
    ok(code === ExitCode.done && typeof facts === "object" && facts !== null);
    deepStrictEqual(Object.keys(facts), ["version", "node", "platform"]);
  });

  it("exits with 2 at a mistake of use, and says so on stderr alone", async () => {
    const { code, stdout, stderr } = await runCli(["lanch"]);
    deepStrictEqual([code, stdout], [ExitCode.usage, ""]);
    match(stderr, /^lapidary: error LAP_CLI_COMMAND: .*\n {4}place: {2}lapidary\n {4}remedy: did you mean "launch"\?\n$/);
  });

  it("exits with 3 where no coordinator is up, and says how to start one", async () => {
    const home = mkdtempSync(join(tmpdir(), "lapidary-"));
    try {
      for (const args of [["status"], ["jobs"], ["jobs", "wait", "x"], ["logs", "x"]]) {
        const { code, stdout } = await runCli([...args, "--json", "--home", home]);
        equal(code, ExitCode.unreachable, args.join(" "));
        match(stdout, /^\{"error":\{"code":"LAP_COORDINATOR_DOWN",.*"remedy":"start it with `lapidary up`"\}\}\n$/);
      }
    } finally {
      rmSync(home, { recursive: true });
    }
  });

  it("exits with 102 where there is no such checkpoint", async () => {
    const home = mkdtempSync(join(tmpdir(), "lapidary-"));
    try {
      const { code, stdout } = await runCli(["ckpt", "inspect", "nothing", "--json"], { env: { LAPIDARY_HOME: home } });
      equal(code, ExitCode.notFound);
      match(stdout, /LAP_CHECKPOINT_NOT_FOUND/);
      deepStrictEqual(JSON.parse((await runCli(["ckpt", "list", "--json", "--home", home])).stdout), { checkpoints: [] });
    } finally {
      rmSync(home, { recursive: true });
    }
  });
});
