import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { DatasetCard, StageCard } from "@lapidary/api/data-view";
import { flowAmounts, flowLayout, flowSize, lossesOf } from "./data-flow.js";

function stage(
  name: string,
  web: readonly [number, number],
  code: readonly [number, number],
  dropped: Record<string, number>,
  done = 1,
): StageCard {
  const of = ([all, out]: readonly [number, number]): StageCard["bySource"][string] => ({ in: all, out, bytes: 10 * out, dropped: {} });
  return {
    stage: name,
    isComplete: done === 1,
    shards: 1,
    done,
    in: web[0] + code[0],
    out: web[1] + code[1],
    bytesIn: undefined,
    bytes: 10 * (web[1] + code[1]),
    tokens: undefined,
    expect: 0.6,
    dropped,
    lost: Object.fromEntries(Object.entries(dropped).map(([reason, n]) => [reason, 10 * n])),
    cut: {},
    bySource: done === 0 ? {} : { web: of(web), code: of(code) },
    examples: [],
    changedNothing: false,
  };
}

const source = { licence: "MIT", documents: 0, bytes: 0, tokens: 0, share: 0.5, damagedFiles: [] };
const card = (stages: readonly StageCard[]): DatasetCard => ({
  file: "pipeline.yaml",
  out: "/out",
  sources: { web: source, code: source },
  stages,
  limits: [],
  measures: {},
  tokenizer: undefined,
  isPublished: true,
  isRunning: false,
  times: undefined,
  contamination: {},
  recitation: [],
});

describe("the flow of documents", () => {
  const whole = card([
    stage("read", [60, 50], [42, 40], { "bad JSON": 12 }),
    stage("rules", [50, 20], [40, 40], { short: 18, lists: 12 }),
    stage("rules", [20, 20], [40, 10], { language: 30 }),
  ]);

  it("each band is what a source has after a stage, and each loss what the stage dropped", () => {
    const { columns, drops, links } = flowLayout(whole, "documents", 0);
    deepStrictEqual(
      columns.map(({ stage: name, total }) => [name, total]),
      [
        [undefined, 102],
        ["read", 90],
        ["rules", 60],
        ["rules", 30],
      ],
    );
    deepStrictEqual(
      drops.map(({ total, losses }) => [total, losses.map(({ reason, amount }) => `${reason} ${amount}`)]),
      [
        [12, ["bad JSON 12"]],
        [30, ["short 18", "lists 12"]],
        [30, ["language 30"]],
      ],
    );
    const dropped = links.filter(({ kind }) => kind === "dropped").map(({ source: of, stage: name, amount }) => `${of} ${name} ${amount}`);
    deepStrictEqual(dropped, ["web read 10", "code read 2", "web rules 30", "code rules 30"]);
    for (const { bands, total } of columns)
      ok(Math.abs(bands.reduce((sum, { height }) => sum + height, 0) - (flowSize.main * total) / 102) < 1e-9);
  });

  it("documents that a running stage has not seen yet are not drawn as dropped", () => {
    const running = { ...stage("rules", [20, 15], [10, 10], { short: 5 }), isComplete: false, shards: 3 };
    const { drops, links } = flowLayout(card([stage("read", [60, 60], [40, 40], {}), running]), "documents", 0);
    deepStrictEqual(
      drops.map(({ total }) => total),
      [5],
    );
    deepStrictEqual(
      links.filter(({ kind }) => kind === "dropped").map(({ source: of, amount }) => [of, amount]),
      [["web", 5]],
    );
  });

  it("bytes begin after the first stage, because files have other bytes than texts", () => {
    deepStrictEqual(
      flowAmounts(whole, "bytes").map(({ stage: name, of }) => [name, of.get("web"), of.get("code")]),
      [
        ["read", 500, 400],
        ["rules", 200, 400],
        ["rules", 200, 100],
      ],
    );
    strictEqual(flowLayout(whole, "bytes", 0).drops[1]?.losses[0]?.amount, 300);
  });

  it("stages without an account are not drawn, and many reasons become one", () => {
    strictEqual(
      flowLayout(card([stage("read", [5, 5], [5, 5], {}), stage("rules", [0, 0], [0, 0], {}, 0)]), "documents", 0).columns.length,
      2,
    );
    const many = stage("rules", [99, 0], [0, 0], Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`reason ${i}`, 10 + i])));
    const losses = lossesOf(many, "documents");
    deepStrictEqual(
      [losses.length, losses.at(-1)?.reason, losses.reduce((sum, { amount }) => sum + amount, 0)],
      [6, "4 other reasons", 126],
    );
  });

  it("the diagram fills the width of the page, and is wider if its columns need more", () => {
    ok(Math.abs(flowLayout(whole, "documents", 1400).width - 1400) < 1);
    ok(flowLayout(whole, "documents", 300).width > 500);
  });
});
