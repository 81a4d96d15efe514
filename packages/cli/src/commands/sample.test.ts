import { deepStrictEqual } from "node:assert/strict";
import { ExitCode } from "@lapidary/std";
import { runCli } from "../testing/cli-process.js";

/** Exit code, code and location of the error of a command. */
async function errorOf(...args: string[]): Promise<unknown> {
  const { code, stdout } = await runCli([...args, "--json"]);
  const { error } = JSON.parse(stdout) as { error: { code: string; place: string } };
  return [code, error.code, error.place];
}

describe("lapidary sample and lapidary serve", () => {
  it("an option outside of its range is refused before a model is read", async () => {
    const refused = (location: string): unknown => [ExitCode.usage, "LAP_CLI_ARGUMENT", location];
    deepStrictEqual(
      await Promise.all([
        errorOf("sample", "none", "a", "--n", "0"),
        errorOf("sample", "none", "a", "b", "--n", "501"),
        errorOf("sample", "none", "a", "--top-k", "0"),
        errorOf("sample", "none", "a", "--tokens", "3", "--max-tokens", "4"),
        errorOf("serve", "none", "--batch", "0"),
        errorOf("serve", "none", "--port", "65536"),
      ]),
      ["--n", "--n", "--top-k", "--max-tokens", "--batch", "--port"].map(refused),
    );
    deepStrictEqual(await errorOf("serve", "none", "--allow-host", "*"), [ExitCode.usage, "LAP_ALLOW_HOST", "--allow-host"]);
  });

  it("a name without a run or a directory is not found", async () => {
    deepStrictEqual(await errorOf("serve", "none"), [ExitCode.notFound, "LAP_CHECKPOINT_NOT_FOUND", "none"]);
  });
});
