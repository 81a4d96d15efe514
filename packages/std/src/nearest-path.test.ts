import { equal } from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nearestPath } from "./nearest-path.js";
import { suggest } from "./suggest.js";
import { isSystemError, systemError } from "./system-error.js";

describe("suggestions of names and paths", () => {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-nearest-"));
  before(() => {
    mkdirSync(join(directory, "configs/jobs"), { recursive: true });
    for (const name of ["nano16.yaml", "quickstart.yaml", "tiny.yaml"]) writeFileSync(join(directory, "configs/jobs", name), "");
  });
  after(() => rmSync(directory, { recursive: true }));

  it("a word gets the most similar candidate, and none that shares no character with it", () => {
    equal(suggest("lanch", ["list", "launch", "lunch"]), "launch");
    equal(suggest("plna", ["plan", "play"]), "plan");
    for (const word of ["x", "xy"]) equal(suggest(word, ["ab", "a", "b"]), undefined, word);
    equal(suggest("gemma-27b", ["nano", "micro"]), undefined);
  });

  it("a misspelt file or directory gets the path of the similar one, relative if the path is relative", () => {
    equal(nearestPath("configs/jobs/nano61.yaml", directory), "configs/jobs/nano16.yaml");
    equal(nearestPath("configs/jobs/nano16.yml", directory), "configs/jobs/nano16.yaml");
    equal(nearestPath("config/jobs/nano16.yaml", directory), "configs/jobs/nano16.yaml");
    equal(nearestPath(join(directory, "configs/job/quickstart.yaml"), "/"), join(directory, "configs/jobs/quickstart.yaml"));
  });

  it("a path that exists, and one with two misspelt parts, get no suggestion", () => {
    for (const path of [
      "configs/jobs/nano16.yaml",
      "config/jobs/nano61.yaml",
      "configs/jobs/gemma.yaml",
      "configs/jobs/nano16.yaml/x",
      "configs/jobs/nothing.yaml",
    ])
      equal(nearestPath(path, directory), undefined, path);
  });

  it("the error of a missing file suggests the similar file", () => {
    const path = join(directory, "configs/jobs/nano1.yaml");
    try {
      readFileSync(path);
    } catch (error) {
      equal(
        isSystemError(error) ? systemError(error, { doing: "read a job" }).remedy : "",
        `did you mean ${join(directory, "configs/jobs/nano16.yaml")}?`,
      );
      return;
    }
    throw new Error(`${path} exists`);
  });
});
