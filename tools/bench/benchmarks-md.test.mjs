import assert from "node:assert/strict";
import { instructionsOf, paragraphs, withPart, withSection } from "./benchmarks-md.mjs";

describe("docs/benchmarks.md", () => {
  it("the page has a section for each kind of processor, the newest first, and a run replaces only its own section", () => {
    const one = withSection("", "A, AVX2", "first of A\n");
    const two = withSection(one, "B, AVX-512", "first of B\n");
    const three = withSection(two, "A, AVX2", "second of A\n");
    assert.deepEqual(
      [...three.matchAll(/^## (.*)$/gm)].map(([, kind]) => kind),
      ["A, AVX2", "B, AVX-512"],
    );
    assert.ok(three.includes("second of A") && three.includes("first of B") && !three.includes("first of A"));
    assert.equal(withSection(three, "A, AVX2", "second of A\n"), three);
  });

  it("a run of one part replaces only this part, and a run of all steps keeps the parts of its section", () => {
    const steps = withSection(withSection("", "B, AVX2", "other\n"), "A, AVX2", "steps\n");
    const one = withPart(withPart(steps, "A, AVX2", "Data", "first"), "A, AVX2", "Data", "second");
    assert.deepEqual(
      [...one.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title),
      ["Benchmarks", "A, AVX2", "Data", "B, AVX2"],
    );
    assert.ok(one.includes("steps") && one.includes("second") && !one.includes("first"));
    const again = withSection(one, "A, AVX2", "newer\n");
    assert.ok(again.includes("newer\n\n### Data\n\nsecond") && !again.includes("steps"));
    assert.ok(withPart("", "C", "Data", "only").includes("## C\n\n### Data\n\nonly"));
  });

  it("a section names the instruction set that decides the speed of matmuls", () => {
    assert.equal(instructionsOf("flags : fpu avx2 fma"), "AVX2");
    assert.equal(instructionsOf("flags : avx2 avx512f"), "AVX-512");
    assert.equal(instructionsOf("flags : avx2 avx512f avx512_bf16"), "AVX-512 with bf16");
    assert.equal(instructionsOf("flags : avx2 avx512f avx512_bf16 amx_bf16"), "AMX");
  });

  it("the page breaks lines at 120 characters and separates paragraphs by an empty line", () => {
    const [first, second, empty, third] = paragraphs(`${"word ".repeat(24)}last\nshort`).split("\n");
    assert.deepEqual([first, second, empty, third], ["word ".repeat(24).trim(), "last", "", "short"]);
    assert.equal(paragraphs("x".repeat(120)), "x".repeat(120));
  });
});
