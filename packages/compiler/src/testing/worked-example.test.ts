import { strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { expectText } from "@lapidary/std/testing";
import { exampleTexts, withExamples } from "./worked-example.js";

describe("README of the compiler", () => {
  const readme = new URL("../../README.md", import.meta.url);

  it("the README shows the text that each stage prints", () => {
    expectText(withExamples(readFileSync(readme, "utf8")), readme);
  });

  it("the README shows every stage", () => {
    const text = readFileSync(readme, "utf8");
    for (const name of exampleTexts().keys()) strictEqual(text.includes(`<!-- example: ${name} -->`), true, name);
  });
});
