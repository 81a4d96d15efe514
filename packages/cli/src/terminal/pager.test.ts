import { deepStrictEqual, equal } from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@lapidary/std";
import { CollectedOutput } from "../testing/outputs.js";
import { Console } from "./console.js";
import { Interrupts } from "./interrupts.js";
import { page, pagerOf, rowsOf, showPaged } from "./pager.js";

const long = Array.from({ length: 200 }, (_, i) => `line ${i}`).join("\n");

describe("pager", () => {
  let directory = "";
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-pager-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  /** What a command with this terminal writes to stdout, and what its pager gets. */
  async function shown(
    text: string,
    { terminal = true, json = false, pager }: { terminal?: boolean; json?: boolean; pager?: string } = {},
  ) {
    const file = join(directory, "paged");
    rmSync(file, { force: true });
    const stdout = new CollectedOutput(terminal);
    const env = { PATH: process.env["PATH"], PAGER: pager ?? `cat > '${file}'` };
    const console = new Console(stdout, stdout, { json, quiet: false, verbose: false, color: true }, env);
    const interrupts = new Interrupts({ on: () => undefined, off: () => undefined }, systemClock, () => undefined);
    await showPaged({ console, env, interrupts }, { text: "value" }, () => text);
    return { stdout: stdout.text, paged: existsSync(file) ? readFileSync(file, "utf8") : undefined };
  }

  it("a result with more rows than the terminal goes to the pager, whole", async () => {
    deepStrictEqual(await shown(long), { stdout: "", paged: `${long}\n` });
  });

  it("a result that fits, JSON, and a result without a terminal are written as they are", async () => {
    deepStrictEqual(await shown("short"), { stdout: "short\n", paged: undefined });
    deepStrictEqual(await shown(long, { json: true }), { stdout: '{"text":"value"}\n', paged: undefined });
    deepStrictEqual(await shown(long, { terminal: false }), { stdout: `${long}\n`, paged: undefined });
  });

  it("a pager that does not exist, `cat` and an empty one leave the result on stdout", async () => {
    for (const pager of ["lapidary-no-such-pager 2> /dev/null", "cat", ""])
      deepStrictEqual(await shown(long, { pager }), { stdout: `${long}\n`, paged: undefined }, pager);
  });

  it("a pager that quits before it reads the text is not an error", async () => {
    equal(await page("x".repeat(1 << 22), "true", { PATH: process.env["PATH"] }), true);
  });

  it("LAPIDARY_PAGER wins over PAGER, and the default is less", () => {
    deepStrictEqual(
      [{}, { PAGER: "more" }, { PAGER: "more", LAPIDARY_PAGER: "most -x" }, { PAGER: "cat" }, { TERM: "dumb" }].map((env) => pagerOf(env)),
      ["less", "more", "most -x", undefined, undefined],
    );
  });

  it("long lines take several rows, and codes of colours take none", () => {
    equal(rowsOf("a\n\nb", 10), 3);
    equal(rowsOf("x".repeat(21), 10), 3);
    equal(rowsOf(`\x1b[1m${"x".repeat(10)}\x1b[22m`, 10), 1);
  });
});
