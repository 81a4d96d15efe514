import { doesNotThrow, strictEqual } from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogFile } from "./log-file.js";

describe("LogFile", () => {
  it("LogFile appends whole lines to a file that only its owner can read", () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-log-"));
    try {
      const path = join(directory, "coordinator.log");
      for (const line of ["first\n", "second\n"]) {
        const file = new LogFile(path);
        file.write(line);
        file.close();
      }
      strictEqual(readFileSync(path, "utf8"), "first\nsecond\n");
      strictEqual(statSync(path).mode & 0o077, 0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("LogFile loses lines on a full disk, and neither throws nor waits", () => {
    // Linux has a device that is always full. On other systems a closed file fails as well.
    const file = new LogFile(existsSync("/dev/full") ? "/dev/full" : "/dev/null");
    if (!existsSync("/dev/full")) file.close();
    doesNotThrow(() => {
      for (let i = 0; i < 3; i++) file.write("a line\n");
    });
  });
});
