import { deepStrictEqual, rejects } from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeDirectoryAtomic } from "./atomic-directory.js";

describe("writeDirectoryAtomic", () => {
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

  it("a new directory is created with its parent directories", async () => {
    await writeDirectoryAtomic(join(top, "a/b"), fill);
    deepStrictEqual(readdirSync(join(top, "a/b")).sort(), ["manifest", "model"]);
  });

  it("a failed write of a new directory leaves neither it nor its parent directories", async () => {
    await rejects(writeDirectoryAtomic(join(top, "a/b"), failing), { code: "ENOSPC" });
    deepStrictEqual(readdirSync(top), []);
  });

  it("a failed write does not change an existing directory", async () => {
    mkdirSync(join(top, "model"));
    for (const name of ["model/config", "manifest", "mine"]) writeFileSync(join(top, name), "old");
    await rejects(writeDirectoryAtomic(top, failing, { seal: "manifest", replaces: ["stale"] }), { code: "ENOSPC" });
    deepStrictEqual(readdirSync(top).sort(), ["manifest", "mine", "model"]);
    deepStrictEqual(
      ["model/config", "manifest", "mine"].map((name) => readFileSync(join(top, name), "utf8")),
      ["old", "old", "old"],
    );
  });

  it("a write replaces an existing directory and keeps unrelated entries", async () => {
    mkdirSync(join(top, "model"));
    for (const name of ["model/old", "manifest", "mine", "stale"]) writeFileSync(join(top, name), "old");
    await writeDirectoryAtomic(top, fill, { seal: "manifest", replaces: ["stale"] });
    deepStrictEqual(readdirSync(top).sort(), ["manifest", "mine", "model"]);
    deepStrictEqual([existsSync(join(top, "model/old")), readFileSync(join(top, "manifest"), "utf8")], [false, "new"]);
  });
});
