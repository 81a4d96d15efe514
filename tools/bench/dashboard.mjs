#!/usr/bin/env node
/**
 * `npm run bench:dashboard`: measures the cost of the dashboard on this machine, with a run of 20,000 steps on 4,096 chips and with a run that trains.
 *
 *     first paint, all panels, frames a second while it is used, memory of the page      goals: 1.5 s, -, 30, 200 MB
 *     bytes a second that a viewer gets at 10 steps a second                             goal: 50 kB
 *     how much 50 viewers slow a run down                                                goal: 3 %
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endless, Harness, trains } from "@lapidary/coordinator/testing/harness";
import { RecordedRuns } from "@lapidary/coordinator/testing";
import { browserSupport } from "../browser-support.mjs";
import { readFlags } from "../flags.mjs";
import { projectRoot } from "../setup/session.mjs";

const { openBrowser, panelsFilled, until, visit } = await browserSupport();
const token = "0123456789abcdef0123456789abcdef";
const { values } = readFlags("npm run bench:dashboard -- [--steps N] [--viewers N] [--seconds N]", {
  steps: { type: "count", default: "20000" },
  viewers: { type: "count", default: "50" },
  seconds: { type: "count", default: "20" },
});
const [steps, viewers, seconds] = [Number(values.steps), Number(values.viewers), Number(values.seconds)];

/** @param {string} what @param {number} value @param {string} unit @param {number} [goal] @param {"most" | "least"} [sense] */
function report(what, value, unit, goal, sense = "most") {
  const met =
    goal === undefined ? "" : `  goal: at ${sense} ${goal} ${unit}${(sense === "most" ? value <= goal : value >= goal) ? "" : "  MISSED"}`;
  process.stdout.write(`${what.padEnd(52)}${value.toFixed(value < 10 ? 2 : 0).padStart(8)} ${unit}${met}\n`);
}

await load();
await crowd();

/** A page of many steps and chips. */
async function load() {
  const home = mkdtempSync(join(tmpdir(), "lapidary-bench-"));
  const recorded = await RecordedRuns.open(home, projectRoot);
  const run = recorded.record({
    id: "large",
    path: "configs/jobs/gemma-7b.yaml",
    overrides: ["pods=16", "train.steps=1000000"],
    done: steps,
    workers: 16,
    step_ms: 100,
  });
  const server = await recorded.serve(token);
  const browser = await openBrowser();
  try {
    const { page } = await visit(browser, server.port, token, {
      at: "#/run/large?colour=owner&tensor=params%2Fmodel.layers.3.mlp.up_proj.weight",
    });
    await until(page, panelsFilled, 60_000);
    // A second time, with a warm browser, as users have it.
    await page.reload();
    const begun = performance.now();
    await until(page, panelsFilled, 60_000);
    const filled = performance.now() - begun;
    const paint = Number(await page.evaluate(`performance.getEntriesByName("first-contentful-paint")[0].startTime`));
    report("first paint", paint / 1000, "s", 1.5);
    report("all panels filled, after the reload", filled / 1000, "s");

    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    let received = 0;
    session.on("Network.dataReceived", ({ dataLength }) => (received += dataLength));
    session.on("Network.eventSourceMessageReceived", ({ data }) => (received += data.length));
    const ticking = setInterval(() => run.next(), 100);
    const before = performance.now();
    const frames = [];
    for (const [what, selector, steps_] of /** @type {const} */ ([
      ["hovering over 4,096 chips", "#panel-torus canvas[tabindex]", 60],
      ["moving in the timeline", "#panel-timeline canvas", 60],
    ])) {
      await page.locator(selector).scrollIntoViewIfNeeded();
      await page.evaluate(
        `globalThis.frames_ = 0; globalThis.begun_ = performance.now(); globalThis.count_ = () => { globalThis.frames_++; globalThis.raf_ = requestAnimationFrame(globalThis.count_); }; globalThis.count_()`,
      );
      const box = await page.locator(selector).boundingBox();
      if (box === null) throw new Error(`${selector} is not there`);
      if (what.startsWith("moving")) for (let i = 0; i < 3; i++) await page.getByRole("button", { name: "Closer" }).click();
      for (let i = 0; i < steps_; i++) {
        await page.mouse.move(box.x + box.width * (0.1 + (0.8 * i) / steps_), box.y + box.height * (0.2 + 0.5 * Math.abs(Math.sin(i / 7))));
        if (what.startsWith("moving") && i === 5) await page.mouse.down();
      }
      await page.mouse.up();
      const rate = Number(
        await page.evaluate(`cancelAnimationFrame(globalThis.raf_), globalThis.frames_ / ((performance.now() - globalThis.begun_) / 1000)`),
      );
      frames.push(rate);
      report(`frames a second, ${what}`, rate, "", 30, "least");
    }
    while (performance.now() - before < seconds * 1000) await new Promise((done) => setTimeout(done, 200));
    clearInterval(ticking);
    report("bytes that a viewer gets in a second, 10 steps in it", received / 1000 / ((performance.now() - before) / 1000), "kB", 50);
    await session.send("HeapProfiler.enable");
    await session.send("HeapProfiler.collectGarbage");
    const heap = Number(await page.evaluate("performance.memory.usedJSHeapSize"));
    report("memory of the page", heap / 1e6, "MB", 200);
  } finally {
    await browser.close();
    await server.close();
    recorded.runs.close();
    rmSync(home, { recursive: true, force: true });
  }
}

/** Viewers of a run that trains: each follows its events and its frames. */
async function crowd() {
  const harness = new Harness();
  try {
    const client = await harness.start();
    await client.submit({ yaml: harness.job({ steps: endless }), name: "watched" });
    await trains(client, "watched");
    const { port, searchParams } = new URL(client.pageUrl);
    const headers = { authorization: `Bearer ${searchParams.get("token")}` };
    const rate = async () => {
      const from = (await client.get("watched")).step;
      const begun = performance.now();
      await new Promise((done) => setTimeout(done, seconds * 500));
      return ((await client.get("watched")).step - from) / ((performance.now() - begun) / 1000);
    };
    await rate();
    // Alternately, so that other load on the machine affects both equally.
    const alone = [];
    const watched = [];
    for (let i = 0; i < 3; i++) {
      alone.push(await rate());
      const leave = new AbortController();
      const { last_id } = /** @type {{ last_id: number }} */ (
        await (await fetch(`http://127.0.0.1:${port}/api/jobs/watched/snapshot`, { headers })).json()
      );
      const streams = Array.from({ length: viewers }, () => ["live?after=" + last_id, "frames"]).flat();
      const reading = streams.map(async (path) => {
        const response = await fetch(`http://127.0.0.1:${port}/api/jobs/watched/${path}`, { headers, signal: leave.signal });
        for await (const _ of response.body ?? []);
      });
      watched.push(await rate());
      leave.abort();
      await Promise.allSettled(reading);
    }
    const mean = (/** @type {number[]} */ list) => list.reduce((a, b) => a + b, 0) / list.length;
    report("steps a second, no viewer", mean(alone), "");
    report(`steps a second, ${viewers} viewers`, mean(watched), "");
    report(`${viewers} viewers slow the run by`, Math.max(0, 100 * (1 - mean(watched) / mean(alone))), "%", 3);
  } finally {
    await harness.remove();
  }
}
