import { match, ok, strictEqual } from "node:assert/strict";
import type { JobSummary, Status } from "@lapidary/api";
import type { RunAdvice } from "@lapidary/api/run-advice";
import { makePaint } from "./paint.js";
import { topFrame } from "./top-frame.js";

const status: Status = {
  version: "1",
  pid: 1,
  port: 2,
  started_at: 0,
  home: "/h",
  redis: { address: "r", connected: true },
  workers: [
    { worker: 0, pid: 3, job: "first" },
    { worker: 1, pid: 4 },
  ],
  pods: {
    name: "small",
    torus: "4x4",
    pods: 1,
    chips: 16,
    free_chips: 4,
    slices: [
      { job: "first", pod: 0, pods: 1, origin: [0, 0], dims: [2, 4] },
      { job: "second", pod: 0, pods: 1, origin: [2, 0], dims: [1, 4] },
    ],
  },
  jobs: { queued: 0, compiling: 0, placing: 0, running: 2, done: 0, failed: 0, cancelled: 0 },
};
const job = (id: string): JobSummary => ({
  id,
  state: "running",
  priority: 0,
  model: "nano",
  pod: "small",
  mesh: "data=8",
  chips: 8,
  created_at: 0,
  step: 30,
  steps: 60,
  loss: 3.14159,
});
const advice = new Map<string, readonly RunAdvice[]>([
  ["second", [{ kind: "memory", problem: "does not fit", remedy: "the plan names changes", command: "lapidary plan second" }]],
]);
const facts = {
  status,
  jobs: [job("first"), job("second")],
  workers: new Map([["first", [{ busy_ms: 300, wait_ms: 100 }]]]),
  advice,
  now: 60_000,
};

describe("the frame of lapidary top", () => {
  it("every chip has the letter of its job, and edges have wrap-around links", () => {
    const lines = topFrame(facts, 120, makePaint(false)).split("\n");
    const chips = lines.filter((line) => line.includes("╶")).map((line) => line.slice(0, 11).trim());
    strictEqual(chips.join("\n"), ["╶a─a─a─a╴", "╶a─a─a─a╴", "╶b─b─b─b╴", "╶·─·─·─·╴"].join("\n"));
    match(lines.join("\n"), /a {2}first {2}running\n.*█{12}░{12} 30\/60\n.*loss 3\.142/);
    match(lines.join("\n"), /worker 0: 300 ms busy, 100 waiting/);
    match(lines.join("\n"), /b {2}second[^]*▲ does not fit\n.*the plan names changes:\n.*lapidary plan second/);
  });

  it("the frame fits the terminal; a narrow terminal has jobs below the pods", () => {
    for (const columns of [20, 40, 80])
      for (const line of topFrame(facts, columns, makePaint(true)).split("\n"))
        ok([...line.replaceAll(/\u001b\[\d+m/g, "")].length <= columns, line);
  });
});
