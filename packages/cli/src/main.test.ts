import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ExitCode } from "@lapidary/std";
import { runCli } from "./testing/cli-process.js";

describe("the lapidary process", () => {
  it("the process loads only std, colors and commander before the command is known", () => {
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
    deepStrictEqual([...packages].sort(), ["@lapidary/report/paint", "@lapidary/std", "commander"]);
  });

  it("reading recorded runs loads neither compiler, simulator, trainer nor tfjs", () => {
    const packages = new Set<string>();
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      packages.add(/packages\/([^/]+)\/dist/.exec(file)?.[1] ?? "tools");
      for (const [, specifier = ""] of readFileSync(file, "utf8").matchAll(/^(?:import|export) [^;]*?from "([^"]+)";/gm)) {
        if (specifier.startsWith(".")) visit(resolve(dirname(file), specifier));
        else if (specifier.startsWith("@lapidary/")) visit(realpathSync(fileURLToPath(import.meta.resolve(specifier))));
      }
    };
    for (const start of ["./commands/jobs.js", "./commands/logs.js", "@lapidary/api/client", "@lapidary/coordinator/recorded-runs"])
      visit(realpathSync(fileURLToPath(import.meta.resolve(start))));
    deepStrictEqual([...packages].sort(), ["api", "cli", "coordinator", "report", "std", "telemetry", "tools"]);
  });

  it("version prints JSON with --json", async () => {
    const { code, stdout } = await runCli(["version", "--json"]);
    const facts: unknown = JSON.parse(stdout);
    ok(code === ExitCode.done && typeof facts === "object" && facts !== null);
    deepStrictEqual(Object.keys(facts), ["version", "node", "platform"]);
  });

  it("a usage error exits with 2 and prints only on stderr", async () => {
    const { code, stdout, stderr } = await runCli(["lanch"]);
    deepStrictEqual([code, stdout], [ExitCode.usage, ""]);
    match(stderr, /^lapidary: error LAP_CLI_COMMAND: .*\n {4}place: {2}lapidary\n {4}remedy: did you mean "launch"\?\n$/);
  });

  it("without a coordinator, a command exits with 3 and names the command that starts one", async () => {
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

  it("an unknown checkpoint exits with 102", async () => {
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
