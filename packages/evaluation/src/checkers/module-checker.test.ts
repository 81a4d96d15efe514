import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@lapidary/std/testing";
import { type CheckedRow, type Checker, openChecker, parseChecker } from "../index.js";

const row = (answer: string): CheckedRow => ({ prompt: "p", answer, columns: { right: "b" } });

describe("the checker of a user's module", () => {
  const directory = temporaryDirectory();

  const open = (source: string, limit_ms = 60_000): Promise<Checker> => {
    writeFileSync(join(directory(), "check.mjs"), source);
    return openChecker(parseChecker({ checker: "./check.mjs", limit_ms }, "reward.0"), directory(), "reward.0");
  };
  /** Opens a checker, uses it and ends its thread, also if a check fails. */
  const using = async (source: string, use: (checker: Checker) => Promise<void>, limit_ms?: number): Promise<void> => {
    const checker = await open(source, limit_ms);
    try {
      await use(checker);
    } finally {
      await checker.close();
    }
  };

  it("returns the numbers and booleans of the function check, in the order of the calls", () =>
    using("export const check = async ({ answer, columns }) => answer === columns.right || answer.length / 2;", async (checker) =>
      deepStrictEqual(await Promise.all([checker.check(row("b")), checker.check(row("abc")), checker.check(row(""))]), [1, 1.5, 0]),
    ));

  it("keeps the state of the module between rows", () =>
    using("let n = 0; export const check = () => n++;", async (checker) =>
      deepStrictEqual([await checker.check(row("")), await checker.check(row(""))], [0, 1]),
    ));

  it("refuses a module that cannot be loaded or exports no function", async () => {
    const code = { code: "LAP_CHECKER_MODULE", location: /check\.mjs$/ };
    const refused = async (source: string, message: RegExp): Promise<void> => {
      await rejects(open(source), { code: code.code, message });
    };
    await refused("export const check = 7;", /its export `check` is number, expected a function/);
    await refused("export const other = () => 1;", /is undefined/);
    await refused("throw new Error('no data');", /no data/);
    await refused("syntax error", /Unexpected identifier/);
    await refused("import 'no-such-package'; export const check = () => 1;", /no-such-package/);
    const missing = openChecker(parseChecker("./missing.mjs", "p"), directory(), "p");
    await rejects(missing, { code: "LAP_CHECKER_MODULE", message: /Cannot find module/ });
  });

  it("does not run a module that every user can write", async () => {
    const path = join(directory(), "open.mjs");
    writeFileSync(path, "export const check = () => 1;");
    chmodSync(path, 0o666);
    await rejects(openChecker(parseChecker("./open.mjs", "p"), directory(), "p"), {
      code: "LAP_CHECKER_MODULE",
      message: /every user can write/,
    });
  });

  it("reports a check that throws or returns no score, and scores the next row", () =>
    using(
      "export const check = ({ answer }) => { if (answer === 'x') throw new Error('bad row'); return { a: 1, n: NaN, t: true }[answer]; };",
      async (checker) => {
        const failed = (message: RegExp): object => ({ code: "LAP_CHECKER_FAILED", message });
        await rejects(checker.check(row("x")), failed(/check threw: bad row/));
        await rejects(checker.check(row("n")), failed(/check returned NaN, expected a finite number or a boolean/));
        await rejects(checker.check(row("none")), failed(/check returned undefined/));
        deepStrictEqual([await checker.check(row("a")), await checker.check(row("t"))], [1, 1]);
      },
    ));

  it("ends a check that never returns, and refuses further rows", () =>
    using(
      "export const check = ({ answer }) => { while (answer === 'loop'); return 1; };",
      async (checker) => {
        strictEqual(await checker.check(row("")), 1);
        const timeout = { code: "LAP_CHECKER_TIMEOUT" };
        await rejects(checker.check(row("loop")), timeout);
        await rejects(checker.check(row("")), timeout);
      },
      3000,
    ));

  it("ends a module that never finishes loading", () =>
    rejects(open("await new Promise(() => setInterval(() => 1, 1000)); export const check = () => 1;", 100), {
      code: "LAP_CHECKER_TIMEOUT",
    }));

  it("reports a module that ends its thread or fails outside of check", async () => {
    await using("export const check = () => process.exit(0);", (checker) =>
      rejects(checker.check(row("")), { code: "LAP_CHECKER_FAILED", message: /ended its thread/ }),
    );
    await using("export const check = () => { setTimeout(() => { throw new Error('late'); }); return new Promise(() => 1); };", (checker) =>
      rejects(checker.check(row("")), { code: "LAP_CHECKER_FAILED", message: /failed outside of check: late/ }),
    );
  });

  it("refuses rows after it is closed", async () => {
    const checker = await open("export const check = () => 1;");
    await checker.close();
    await rejects(checker.check(row("")), { code: "LAP_CHECKER_FAILED", message: /closed/ });
  });
});
