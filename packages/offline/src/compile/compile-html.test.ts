import { ok, strictEqual } from "node:assert/strict";
import type { TpuReport } from "@lapidary/tpu-compiler";
import { compileHtml } from "./compile-html.js";

const report: TpuReport = {
  job: 'a <job> & "more"',
  chip: "v5e",
  topology: "v5e:16x16",
  slices: 2,
  text: "whole",
  compile_s: 3,
  hbm_bytes: { arguments: 1000, outputs: 1008, temporary: 250, peak: 2048 },
  fits: false,
  plan_hbm_bytes_peak: 1024,
  collectives: [{ op: "all_gather", axis: "data", count: 20, bytes_per_chip: 600, plan_bytes_per_chip: 900 }],
  cycles: [
    { name: "layers.*.attn", phase: "forward", xla: 70_000, plan: 35_000 },
    { name: "logits", phase: "forward", xla: 30_000, plan: 15_000 },
  ],
  compiler: "libtpu 0.0.52",
};

describe("a compiled step as a page", () => {
  const html = compileHtml(report, true);

  it("the page has the figures of both sides, and their ratio", () => {
    ok(html.includes("<td>peak</td><td>2.00 KiB</td><td>1.00 KiB</td><td>0.50</td>"), html);
    ok(html.includes("<td>all_gather</td><td>data</td><td>20</td><td>600 B</td><td>900 B</td><td>1.50</td>"));
    ok(html.includes("<td>all</td><td></td><td>100,000</td><td>50,000</td><td>0.50</td>"));
    ok(html.includes("<dt>TPU compiler</dt><dd>does not fit</dd>") && html.includes("<dt>our plan</dt><dd>fits</dd>"));
  });

  it("the page contains no script, no link and no address, and escapes its names", () => {
    ok(!/<script|<link|<img|https?:|url\(|@import/.test(html));
    ok(html.includes("default-src 'none'"));
    ok(html.includes("a &#60;job&#62; &#38; &#34;more&#34;") && !html.includes("<job>"));
  });

  it("a step without collectives and a program that did not compile whole have no empty tables", () => {
    const unknown = { arguments: null, outputs: null, temporary: null, peak: 2048 };
    const short = compileHtml({ ...report, hbm_bytes: unknown, collectives: [], cycles: [], plan_hbm_bytes_peak: null }, false);
    strictEqual(short.match(/<table>/g)?.length, 1);
    ok(short.includes("<td>peak</td><td>2.00 KiB</td><td>-</td><td>-</td>"));
  });
});
