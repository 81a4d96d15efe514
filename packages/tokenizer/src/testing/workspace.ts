import { ok, strictEqual } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { LapidaryError } from "@lapidary/std";

/** A directory for one test file: `folder` writes files into a new folder. The end of the test file removes all folders. */
export class Workspace {
  readonly root = mkdtempSync(join(tmpdir(), "lapidary-test-"));
  #folders = 0;

  /** Writes files into a new folder and returns its path. */
  folder(files: Readonly<Record<string, string | Uint8Array>> = {}): string {
    const folder = join(this.root, String(this.#folders++));
    mkdirSync(folder);
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    return folder;
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A predicate for `throws` and `rejects`: a LapidaryError with this code, a remedy, exit code 2, and `place` in its location. */
export function hasCode(code: string, place = ""): (error: unknown) => boolean {
  return (error) => {
    ok(error instanceof LapidaryError, String(error));
    strictEqual(error.code, code);
    strictEqual(error.exit, 2);
    ok(error.remedy.length > 10);
    ok(error.location?.includes(place), `${error.location} should name ${place}`);
    return true;
  };
}
