import { deepStrictEqual, rejects } from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeDirectoryAtomic } from "./index.js";

describe("a directory that is written as a whole", () => {
  let top = "";
  beforeEach(() => {
    top = mkdtempSync(join(tmpdir(), "lapidary-directory-"));
  });
  afterEach(() => rmSync(top, { recursive: true }));

  const fill = async (staging: string): Promise<void> => {
    mkdirSync(join(staging, "model"));
    writeFileSync(join(staging, "model/config"), "new");
    writeFileSync(join(staging, "manifest"), "new");
  };
  const failing = async (staging: string): Promise<void> => {
    await fill(staging);
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  };

  it("appears with the directories that lead to it", async () => {
    await writeDirectoryAtomic(join(top, "a/b"), fill);
    deepStrictEqual(readdirSync(join(top, "a/b")).sort(), ["manifest", "model"]);
  });

  it("leaves nothing when the disk is full, not even the directories that lead to it", async () => {
    await rejects(writeDirectoryAtomic(join(top, "a/b"), failing), { code: "ENOSPC" });
    deepStrictEqual(readdirSync(top), []);
  });

  it("leaves an earlier one as it was when the disk is full", async () => {
    mkdirSync(join(top, "model"));
    for (const name of ["model/config", "manifest", "mine"]) writeFileSync(join(top, name), "old");
    await rejects(writeDirectoryAtomic(top, failing, { seal: "manifest", replaces: ["stale"] }), { code: "ENOSPC" });
    deepStrictEqual(readdirSync(top).sort(), ["manifest", "mine", "model"]);
    deepStrictEqual(
      ["model/config", "manifest", "mine"].map((name) => readFileSync(join(top, name), "utf8")),
      ["old", "old", "old"],
    );
  });

  it("replaces an earlier one, and keeps what is not its own", async () => {
    mkdirSync(join(top, "model"));
    for (const name of ["model/old", "manifest", "mine", "stale"]) writeFileSync(join(top, name), "old");
    await writeDirectoryAtomic(top, fill, { seal: "manifest", replaces: ["stale"] });
    deepStrictEqual(readdirSync(top).sort(), ["manifest", "mine", "model"]);
    deepStrictEqual([existsSync(join(top, "model/old")), readFileSync(join(top, "manifest"), "utf8")], [false, "new"]);
  });
});
