import { deepStrictEqual, match } from "node:assert/strict";
import { limitWarnings } from "./process-limits.js";

const limits = (files: string, space: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units\nMax open files            ${files}                 524288               files\nMax address space         ${space}            unlimited            bytes\n`;

describe("limits of a shell", () => {
  it("default, missing and unlimited limits cause no warning", () => {
    for (const text of [limits("1024", "unlimited"), limits("256", "17179869184"), ""]) deepStrictEqual(limitWarnings(text), []);
  });

  it("a limit that breaks Node is a warning with a remedy", () => {
    const [space, files] = limitWarnings(limits("64", "8192000000"));
    match(space?.message ?? "", /to 8\.2 GB/);
    match(space?.remedy ?? "", /ulimit -v unlimited/);
    match(files?.message ?? "", /only 64 files/);
  });
});
