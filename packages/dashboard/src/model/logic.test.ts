import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { WorkerStep } from "@lapidary/api/frames";
import { differences } from "./compare.js";
import { bytes, count, micros, number, visible } from "./format.js";
import { lineOf, yamlTokens } from "./job-text.js";
import { amountColour, foregroundOn, numberColour } from "./palette.js";
import { WorkerHeat } from "./worker-heat.js";

const step = (n: number, ...busy: number[]): WorkerStep => {
  const longest = Math.max(...busy);
  return { step: n, times: busy.map((ms) => ({ total_ms: longest, gemm_ms: ms * 0.6, other_ms: ms * 0.4, wait_ms: longest - ms })) };
};

describe("number formats", () => {
  it("numbers have three digits and a unit", () => {
    strictEqual(bytes(16e9), "16 GB");
    strictEqual(bytes(24_642_816), "24.6 MB");
    strictEqual(count(1_840_000), "1.84 M");
    strictEqual(micros(0.0207), "20.7 ns");
    strictEqual(micros(1234), "1.23 ms");
    strictEqual(number(1.2e-7), "1.20e-7");
    strictEqual(number(undefined), "–");
    strictEqual(number(Infinity), "∞");
  });

  it("control characters and bidirectional overrides are replaced", () => {
    strictEqual(visible("a\u001b[31mb\u0000\u007f\u202ec\td"), "a␛[31mb␀␡�c\td");
  });
});

describe("colours of amounts", () => {
  it("a larger amount has a lighter colour, so that amounts differ without hue", () => {
    const light = (amount: number): number =>
      (/(\d+),(\d+),(\d+)/.exec(amountColour(amount)) ?? [])
        .slice(1)
        .reduce((sum, c, i) => sum + Number(c) * ([0.21, 0.72, 0.07][i] ?? 0), 0);
    for (let i = 1; i <= 20; i++) ok(light(i / 20) > light((i - 1) / 20));
  });

  it("the foreground colour is readable on the colour of an amount", () => {
    strictEqual(foregroundOn(amountColour(1)), "#000");
    strictEqual(foregroundOn(amountColour(0)), "#fff");
    strictEqual(new Set(Array.from({ length: 8 }, (_, i) => numberColour(i, 8))).size, 8);
  });
});

describe("the heat map of workers", () => {
  it("straggler returns the worker that the others wait for, or undefined", () => {
    const heat = new WorkerHeat();
    heat.add(
      3,
      Array.from({ length: 20 }, (_, i) => step(i + 1, 100, 140, 101)),
    );
    strictEqual(heat.straggler(), 1);
    heat.add(
      3,
      Array.from({ length: 200 }, (_, i) => step(i + 21, 100, 101, 100)),
    );
    strictEqual(heat.straggler(), undefined);
  });

  it("merging steps keeps the slowest one, in bounded memory", () => {
    const heat = new WorkerHeat();
    for (let i = 1; i <= 9000; i++) heat.add(2, [step(i, i === 4321 ? 900 : 10, 10)]);
    ok(heat.steps.length <= 2000);
    ok(heat.steps.some(({ step: n }) => n === 4321));
  });
});

describe("config differences", () => {
  it("differences lists the keys with different values", () => {
    deepStrictEqual(differences({ a: 1, train: { betas: [0.9, 0.95], steps: 5 } }, { a: 1, train: { betas: [0.9, 0.99], lr: 1 } }), [
      { what: "train.betas", a: "[0.9,0.95]", b: "[0.9,0.99]" },
      { what: "train.steps", a: "5", b: "–" },
      { what: "train.lr", a: "–", b: "1" },
    ]);
  });
});

describe("job text", () => {
  it("yamlTokens does not change the text", () => {
    for (const line of ["train: # so", "  steps: 300", "- a", 'x: "#no" #yes', "", "# all"])
      strictEqual(
        yamlTokens(line)
          .map(({ text }) => text)
          .join(""),
        line,
      );
    deepStrictEqual(
      yamlTokens("  steps: 300 # all").map(({ kind }) => kind),
      ["plain", "key", "plain", "value", "comment"],
    );
  });

  it("lineOf returns the line in the location of an error", () => {
    strictEqual(lineOf("job:7:3"), 7);
    strictEqual(lineOf("job:13:9: data.corpus: /data/book.txt:2:1"), 13);
    strictEqual(lineOf("override train.steps=x"), undefined);
    strictEqual(lineOf(undefined), undefined);
    strictEqual(lineOf("two-stage.yaml:7:3: /x/nano.yaml:2:1", "two-stage.yaml"), 7);
  });
});
