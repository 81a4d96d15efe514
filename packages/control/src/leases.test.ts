import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { ensure, systemClock } from "@lapidary/std";
import { HeldLease, type Lease, Leases } from "./leases.js";
import { eventually, TestRedis } from "./testing/redis.js";

describe("leases", () => {
  const redis = TestRedis.use(process.env);
  const open = async (timeoutMs = 5000): Promise<Leases> => new Leases(await redis.open({ timeoutMs }));
  const granted = async (leases: Leases, holder: string, ttlMs = 60_000, above = 0): Promise<Lease> => {
    const acquired = await leases.acquire("coordinator", holder, ttlMs, above);
    ok(acquired.granted);
    return acquired.lease;
  };

  it("a lease is granted to exactly one of many concurrent requests", async () => {
    const leases = await open();
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => leases.acquire("coordinator", `c${i}`, 60_000)));
    strictEqual(all.filter((one) => one.granted).length, 1);
    const holder = ensure(await leases.current("coordinator"), "holder");
    for (const one of all) if (!one.granted) strictEqual(one.holder, holder.holder);
  });

  it("the epoch grows each time another holder gets the lease", async () => {
    const leases = await open();
    const first = await granted(leases, "a");
    strictEqual(await leases.release(first), true);
    const second = await granted(leases, "b");
    ok(second.epoch > first.epoch);
    const refused = await leases.acquire("coordinator", "a", 1000);
    ok(!refused.granted && refused.holder === "b" && refused.epoch === second.epoch && refused.remainingMs > 1000);
  });

  it("the holder that requests its lease again gets the same epoch", async () => {
    const leases = await open();
    deepStrictEqual(await granted(leases, "a"), await granted(leases, "a"));
  });

  it("a former holder can neither renew nor release the lease", async () => {
    const leases = await open();
    const first = await granted(leases, "a", 1);
    await eventually("the lease has expired", async () => (await leases.current("coordinator")) === undefined);
    strictEqual(await leases.renew(first), false);
    const second = await granted(leases, "b");
    strictEqual(await leases.renew(first), false);
    strictEqual(await leases.release(first), false);
    strictEqual(await leases.renew(second), true);
    // The same holder name after a restart, with a new epoch.
    await leases.release(second);
    const third = await granted(leases, "a");
    strictEqual(await leases.release(first), false);
    strictEqual(await leases.release(third), true);
  });

  it("after Redis lost its data, the next epoch is larger than the epoch on disk", async () => {
    const leases = await open();
    const before = await granted(leases, "a", 60_000, 41);
    strictEqual(before.epoch, 42);
    await (await redis.open()).run((client) => client.flushall());
    strictEqual((await granted(leases, "b", 60_000, before.epoch)).epoch, 43);
  });

  it("leases of different keys are independent", async () => {
    const leases = await open();
    ok((await leases.acquire("slice/0", "a", 60_000)).granted);
    ok((await leases.acquire("slice/1", "b", 60_000)).granted);
  });

  it("a held lease is renewed beyond its time to live", async () => {
    const leases = await open();
    const lease = await granted(leases, "a", 200);
    const held = new HeldLease(leases, lease, systemClock);
    const start = performance.now();
    await eventually("three times its time to live has passed", () => performance.now() - start > 600);
    strictEqual((await leases.current("coordinator"))?.epoch, lease.epoch);
    await held.release();
    strictEqual(await leases.current("coordinator"), undefined);
  });

  it("the holder learns that the lease is lost when Redis lost its data", async () => {
    const leases = await open();
    const held = new HeldLease(leases, await granted(leases, "a", 150), systemClock);
    await (await redis.open()).run((client) => client.flushall());
    strictEqual((await held.lost).code, "LAP_LEASE_LOST");
  });

  it("the holder learns that the lease is lost when it expires while Redis does not reply", async () => {
    const leases = await open();
    const held = new HeldLease(leases, await granted(leases, "a", 150), systemClock);
    process.kill(redis.server.pid, "SIGSTOP");
    try {
      strictEqual((await held.lost).code, "LAP_LEASE_LOST");
    } finally {
      process.kill(redis.server.pid, "SIGCONT");
    }
  });

  it("a lease survives a restart of Redis within its time to live", async () => {
    const leases = await open();
    const lease = await granted(leases, "a", 10_000);
    const held = new HeldLease(leases, lease, systemClock);
    await redis.server.stop();
    await redis.start();
    await eventually("Redis replies again", () =>
      leases.current("coordinator").then(
        (current) => current?.epoch === lease.epoch,
        () => false,
      ),
    );
    await held.release();
  });
});
