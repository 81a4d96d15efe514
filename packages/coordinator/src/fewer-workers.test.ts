import { deepStrictEqual, ok } from "node:assert/strict";
import { isOfType } from "@lapidary/api/run-events";
import { endless, Harness, trains } from "./testing/harness.js";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("a worker that cannot be replaced", function () {
  this.timeout(180_000);
  const harness = new Harness();
  after(() => harness.remove());

  it("the other workers compute its block until it can be started again", async () => {
    const environment: NodeJS.ProcessEnv = { ...process.env };
    const client = await harness.start({ environment, spares: 0 });
    await client.submit({ yaml: harness.job({ steps: endless, more: "workers: 2\ncheckpoint: { every: 10 }" }), name: "few" });
    await trains(client, "few");
    const pids = async (): Promise<number[]> => (await client.get("few")).workers?.map(({ pid }) => pid) ?? [];
    const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
      for (const end = Date.now() + 90_000; !(await holds()); await pause(50)) ok(Date.now() < end, what);
    };
    /** The run continues with new steps. */
    const isActive = async (): Promise<void> => {
      const { step } = await client.get("few");
      await until("training continues", async () => (await client.get("few")).step > step + 2);
    };

    const before = await pids();
    deepStrictEqual(before.length, 2);
    // From here on, every process of Node fails at its start.
    environment["NODE_OPTIONS"] = "--require=/nowhere/nothing.cjs";
    process.kill(before[1] ?? 0, "SIGKILL");
    await until("one worker continues", async () => (await pids()).length === 1);
    await isActive();
    delete environment["NODE_OPTIONS"];
    await until("both work again", async () => (await pids()).length === 2);
    await isActive();
    const { events } = await client.events("few");
    deepStrictEqual(
      events.filter(isOfType("worker_count_changed")).map(({ from, to, wanted }) => [from, to, wanted]),
      [
        [2, 1, 2],
        [1, 2, 2],
      ],
    );
    ok(events.some((event) => event.type === "attempt_ended" && event.reason === "regrouped"));
    await client.cancel("few");
  });
});
