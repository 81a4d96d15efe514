import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { lint } from "markdownlint/promise";
import { linkedFiles, paragraphLength } from "./markdown-rules.mjs";

/**
 * The findings in a text that is next to this file, as `line rule: detail`.
 * @param {string} text
 */
async function findingsIn(text) {
  const name = fileURLToPath(new URL("page.md", import.meta.url));
  const results = await lint({
    strings: { [name]: text },
    config: { default: false, "paragraph-length": true, "linked-files": true },
    customRules: [paragraphLength, linkedFiles],
  });
  return (results[name] ?? []).map(({ lineNumber, ruleNames, errorDetail }) => `${lineNumber} ${ruleNames[0]}: ${errorDetail}`);
}

describe("the Markdown lint", () => {
  it("the lint accepts a paragraph of five lines and reports one of six lines, also in a list", async () => {
    const lines = (/** @type {number} */ count) => Array.from({ length: count }, (_, i) => `line ${i}`);
    assert.deepEqual(await findingsIn(`${lines(5).join("\n")}\n`), []);
    assert.deepEqual(await findingsIn(`# Title\n\n${lines(6).join("\n")}\n`), ["3 paragraph-length: 6 lines: split it, or use a table"]);
    assert.deepEqual(await findingsIn(`- ${lines(6).join("\n  ")}\n`), ["1 paragraph-length: 6 lines: split it, or use a table"]);
  });

  it("the lint accepts long code blocks and tables", async () => {
    const code = Array.from({ length: 9 }, (_, i) => `    code ${i}`).join("\n");
    const rows = Array.from({ length: 9 }, (_, i) => `| ${i} | x |`).join("\n");
    assert.deepEqual(await findingsIn(`${code}\n\n| a | b |\n|---|---|\n${rows}\n`), []);
  });

  it("the lint reports a relative link to a file that does not exist, and no other link", async () => {
    const text = "[a](lint.mjs) [b](lint.mjs#top) [c](#here) [d](https://example.org/none) [e](missing.md#x) ![f](../none.png)\n";
    assert.deepEqual(await findingsIn(text), ["1 linked-files: there is no missing.md", "1 linked-files: there is no ../none.png"]);
  });
});
