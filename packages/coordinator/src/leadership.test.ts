import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Leases, type Store } from "@lapidary/control";
import { TestRedis, eventually } from "@lapidary/control/testing";
import { type LapidaryError, systemClock } from "@lapidary/std";
import { thisProcess } from "@lapidary/std/process-id";
import { temporaryDirectory } from "@lapidary/std/testing";
import { Leadership } from "./leadership.js";

describe("leadership of a home", () => {
  const redis = TestRedis.use(process.env);
  const directory = temporaryDirectory();
  const errors: LapidaryError[] = [];
  const superseded: LapidaryError[] = [];
  const leaders: Leadership[] = [];
  beforeEach(() => void [errors, superseded].forEach((list) => list.splice(0)));
  afterEach(async () => {
    for (const leader of leaders.splice(0)) await leader.release();
  });
  const take = async (store: Store, home: string): Promise<Leadership> => {
    const leader = await Leadership.take({
      ...{ store, home, clock: systemClock },
      onSuperseded: (error) => superseded.push(error),
      onError: (error) => errors.push(error),
    });
    leaders.push(leader);
    return leader;
  };
  const epochFile = (home: string): string => readFileSync(join(home, "epoch"), "utf8");

  it("a leader has an epoch, which its home stores, and no second process can lead until it releases the lease", async () => {
    const [store, home] = [await redis.open(), directory()];
    const first = await take(store, home);
    deepStrictEqual([first.epoch, epochFile(home)], [1, "1\n"]);
    await rejects(take(store, home), { code: "LAP_ALREADY_UP" });
    await first.release();
    strictEqual((await take(store, home)).epoch, 2);
    strictEqual(epochFile(home), "2\n");
    deepStrictEqual([errors, superseded], [[], []]);
  });

  it("a process takes over at once from a process that exited, with a larger epoch", async () => {
    const [store, home] = [await redis.open(), directory()];
    const dead = JSON.stringify({ ...thisProcess(), started: "0", nonce: "x" });
    ok((await new Leases(store).acquire("coordinator", dead, 3_600_000, 6)).granted);
    strictEqual((await take(store, home)).epoch, 8);
  });

  it("if Redis has lost its data, the next epoch is larger than the epoch of the home", async () => {
    const [store, home] = [await redis.open(), directory()];
    writeFileSync(join(home, "epoch"), "41\n");
    strictEqual((await take(store, home)).epoch, 42);
    const other = directory();
    writeFileSync(join(other, "epoch"), "not a number\n");
    await leaders.pop()?.release();
    strictEqual((await take(store, other)).epoch, 43);
  });

  it("a leader that loses its lease reports it and leads again with a larger epoch", async () => {
    const [store, home] = [await redis.open(), directory()];
    const leader = await take(store, home);
    const { epoch } = leader;
    await store.run((client) => client.del(store.key("lease", "coordinator")));
    await eventually("the leader has the lease again", () => leader.epoch > epoch);
    strictEqual(epochFile(home), `${leader.epoch}\n`);
    deepStrictEqual(
      errors.map(({ code }) => code),
      ["LAP_LEASE_LOST"],
    );
    deepStrictEqual(superseded, []);
  });

  it("a leader whose lease another process has is superseded, and a leader that released its lease reports nothing", async () => {
    const [store, home] = [await redis.open(), directory()];
    const leader = await take(store, home);
    await store.run((client) => client.del(store.key("lease", "coordinator")));
    ok((await new Leases(store).acquire("coordinator", "another", 3_600_000)).granted);
    await eventually("the leader is superseded", () => superseded.length > 0);
    deepStrictEqual([errors.map(({ code }) => code), superseded.map(({ code }) => code)], [["LAP_LEASE_LOST"], ["LAP_ALREADY_UP"]]);
    strictEqual(leader.epoch, 1);
    // The lease of the other process stays.
    await leader.release();
    strictEqual((await new Leases(store).current("coordinator"))?.holder, "another");
  });
});
