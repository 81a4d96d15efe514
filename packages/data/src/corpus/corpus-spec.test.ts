import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { corpusSpec } from "./corpus-spec.js";

describe("the corpus of a job", () => {
  it("only the name node_modules selects the default corpus", () => {
    strictEqual(corpusSpec("node_modules", { projectRoot: "/p" }).kind, "node_modules");
    deepStrictEqual(corpusSpec("./node_modules", { projectRoot: "/p" }), { kind: "path", path: "/p/node_modules", textField: "text" });
    deepStrictEqual(corpusSpec("a.jsonl", { projectRoot: "/p", base: "/q", textField: "body" }), {
      kind: "path",
      path: "/q/a.jsonl",
      textField: "body",
    });
  });
});
