import { ok, strictEqual } from "node:assert/strict";
import { parseTorus } from "@lapidary/topology";
import { planReport } from "../result/plan-report.js";
import { simulate } from "../simulate.js";
import { trainProgram, v5e } from "../testing/fixtures.js";
import { planHtml } from "./plan-html.js";

describe("plan as a page", () => {
  const simulation = simulate(trainProgram({ mesh: "data=16,model=16", heads: 16, width: 256, batch: 64 }), {
    chip: v5e,
    pods: 1,
    torus: parseTorus("16x16"),
  });
  const html = planHtml(simulation, planReport(simulation), { title: 'a <job> & "more"', tokens: 1e9, days: 0.5, chipHours: 10 });

  it("the page contains no script, no link and no address", () => {
    ok(!/<script|<link|<img|https?:|url\(|@import/.test(html));
    ok(html.includes("default-src 'none'"));
  });

  it("the page draws every chip of the torus, the wrap-around links, and the streams of the step", () => {
    strictEqual(html.match(/class="chip s\d"/g)?.length, 256);
    // 2 · 16 · 15 links between chips, and two stubs for each of 32 rings.
    strictEqual(html.match(/<line class="link/g)?.length, 480 + 64);
    ok(html.includes("timeline of the step") && html.includes("timeline of one block, backward"));
  });

  it("the page escapes its title", () => {
    ok(html.includes("a &#60;job&#62; &#38; &#34;more&#34;") && !html.includes("<job>"));
  });

  it("the page closes every tag", () => {
    for (const tag of ["svg", "table", "tr", "td", "h2", "p", "dl", "title"])
      strictEqual(html.match(new RegExp(`<${tag}[ >]`, "g"))?.length, html.match(new RegExp(`</${tag}>`, "g"))?.length, tag);
  });
});
