import { ok, rejects, strictEqual } from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import type { Channel, ChannelOptions } from "./channel.js";
import { connect, listen } from "./listen.js";
import { acceptOne } from "./testing/accept-one.js";
import { channelSuite } from "./testing/channel-suite.js";
import { Inbox } from "./testing/inbox.js";
import { memoryPair } from "./testing/memory.js";

const code =
  (expected: string) =>
  (error: unknown): boolean =>
    error instanceof LapidaryError && error.code === expected;

describe("channel", () => {
  let directory = "";
  let count = 0;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lap-fabric-"));
  });
  after(() => rmSync(directory, { recursive: true }));
  const path = (): string => join(directory, `${count++}.sock`);

  channelSuite("memory", (first, second) => memoryPair(first, second ?? first));

  const overSocket = async (connecting: ChannelOptions, listening: ChannelOptions): Promise<[connected: Channel, accepted: Channel]> => {
    const at = path();
    const { channel, listener } = await acceptOne(at, listening);
    try {
      return await Promise.all([connect(at, connecting), channel]);
    } finally {
      listener.close();
    }
  };
  channelSuite("a unix socket, from the side that connects", (first = {}, second = first) => overSocket(first, second));
  channelSuite("a unix socket, from the side that accepts", async (first = {}, second = first) => {
    const [connected, accepted] = await overSocket(second, first);
    return [accepted, connected];
  });

  it("listen replaces the socket of a dead process, and close removes the socket", async () => {
    const at = path();
    const child = fork(new URL("./testing/child.js", import.meta.url), ["listen", at]);
    await once(child, "message");
    child.kill("SIGKILL");
    await once(child, "exit");
    ok(existsSync(at));
    const listener = await listen(at, () => undefined);
    listener.close();
    ok(!existsSync(at));
  });

  it("listen fails on the socket of a running process, which keeps it", async () => {
    const at = path();
    const listener = await listen(at, () => undefined);
    await rejects(
      listen(at, () => undefined),
      code("LAP_FABRIC_ADDRESS"),
    );
    const client = await connect(at);
    await client.close();
    listener.close();
  });

  it("connect and listen fail immediately if no process listens, or the path is invalid", async () => {
    await rejects(connect(path()), code("LAP_FABRIC_UNREACHABLE"));
    const plain = path();
    writeFileSync(plain, "not a socket");
    await rejects(connect(plain), code("LAP_FABRIC_UNREACHABLE"));
    await rejects(connect(join(directory, "x".repeat(120))), code("LAP_FABRIC_PATH"));
    await rejects(
      listen(join(directory, "x".repeat(120)), () => undefined),
      code("LAP_FABRIC_PATH"),
    );
    await rejects(
      listen(join(directory, "missing", "a.sock"), () => undefined),
      code("LAP_FABRIC_ADDRESS"),
    );
  });

  it("a listener rejects a client that sends no frames, and accepts later clients", async () => {
    const at = path();
    const refusals: LapidaryError[] = [];
    const listener = await listen(at, (channel) => new Inbox(channel), { onRefused: (error) => refusals.push(error) });
    const otherClient = connectSocket(at);
    otherClient.write("GET / HTTP/1.1\r\nHost: localhost:1234567890\r\n\r\n");
    otherClient.resume();
    await once(otherClient, "close");
    strictEqual(refusals[0]?.code, "LAP_FABRIC_FRAME");
    const client = await connect(at);
    await client.close();
    listener.close();
  });

  it("a channel is lost when the peer process is killed", async () => {
    const at = path();
    const { channel: accepted, listener } = await acceptOne(at);
    const child = fork(new URL("./testing/child.js", import.meta.url), ["connect", at]);
    const channel = await accepted;
    strictEqual((await new Inbox(channel).next()).header, "ready");
    child.kill("SIGKILL");
    const reason = await channel.closed;
    strictEqual(reason.kind === "lost" && reason.error.code, "LAP_FABRIC_LOST");
    listener.close();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });

  it("drained waits while the receiver is stopped, and resolves after it continues", async () => {
    const at = path();
    const { channel: accepted, listener } = await acceptOne(at);
    const child = fork(new URL("./testing/child.js", import.meta.url), ["echo", at]);
    const channel = await accepted;
    const inbox = new Inbox(channel);
    await inbox.next();
    child.kill("SIGSTOP");
    channel.send("large", [new Uint8Array(8_000_000)]);
    let drained = false;
    const draining = channel.drained().then(() => {
      drained = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    strictEqual(drained, false);
    child.kill("SIGCONT");
    await draining;
    strictEqual((await inbox.next()).payload.byteLength, 8_000_000);
    await channel.close();
    listener.close();
    if (child.exitCode === null) await once(child, "exit");
  });
});
