import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { projectRoot } from "../setup/session.mjs";
import { dataTexts, pipelineSizes } from "./data.mjs";

describe("the data of the pipeline sort5", () => {
  for (const [name, text] of dataTexts({ seed: 0, ...pipelineSizes }))
    it(`${name} has the rows that the tool makes from seed 0`, () => {
      const bytes = readFileSync(join(projectRoot, "configs/pipelines/sort5", name));
      assert.ok((name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString() === text, name);
    });
});
