import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * Compares `actual` with the text stored in a file and fails with the first line that differs. With `UPDATE=1` in the
 * environment of the test it rewrites the file instead. Review the new file like code. Only tests call this.
 *
 * @param file path or file URL of the stored text
 */
export function expectText(actual: string, file: string | URL): void {
  const path = file instanceof URL ? fileURLToPath(file) : file;
  const text = `${actual.trimEnd()}\n`;
  if (process.env["UPDATE"] === "1") {
    writeFileSync(path, text);
    return;
  }
  const expected = readFileSync(path, "utf8");
  if (text === expected) return;
  const [got, want] = [text.split("\n"), expected.split("\n")];
  const at = got.findIndex((line, i) => line !== want[i]);
  const line = at < 0 ? got.length : at;
  throw new Error(
    `${path}:${line + 1} differs (UPDATE=1 rewrites it)\n  expected: ${want[line] ?? "<end>"}\n  actual:   ${got[line] ?? "<end>"}`,
  );
}
