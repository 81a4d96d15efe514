// Measures a channel and an all-reduce between two processes. Run: node packages/fabric/bench/channel.mjs
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, connectPeers, listen } from "../dist/index.js";

const MiB = 2 ** 20;
const [, self, role, path, checkPayload] = process.argv;
const options = { checkPayload: checkPayload !== "false" };

/** Receives until the other side closes; replies to messages that request it. */
async function receive(channel) {
  channel.onMessage((header, payload) => {
    channel.recycle(payload);
    if (header === "ping") channel.send("pong");
    if (header === "end") channel.send("received");
  });
  await channel.closed;
}

async function reduce(rank, directory) {
  const paths = [0, 1].map((i) => join(directory, `${i}.sock`));
  const peers = await connectPeers({ self: rank, paths, epoch: 1, ...options });
  const figures = [];
  for (const bytes of [4096, MiB, 32 * MiB]) {
    const values = new Float32Array(bytes / 4).fill(1);
    const rounds = Math.max(4, Math.min(500, (256 * MiB) / bytes));
    let start = 0;
    for (let i = -2; i < rounds; i++) {
      if (i === 0) start = performance.now();
      peers.recycle(await peers.allReduce(`${bytes}/${i}`, [0, 1], values));
    }
    figures.push({ bytes, ms: (performance.now() - start) / rounds });
  }
  await peers.close();
  return figures;
}

if (role === "receiver") await receive(await connect(path, options));
else if (role === "listening-receiver") {
  const listener = await listen(path, async (channel) => {
    listener.close();
    await receive(channel);
    process.disconnect();
  }, options);
  process.send("listening");
} else if (role === "reducer") await reduce(1, path);
else {
  const directory = mkdtempSync(join(tmpdir(), "lap-bench-"));
  const send = async (channel, bytes, rounds) => {
    const payload = [new Uint8Array(bytes).fill(7)];
    let answer;
    channel.onMessage(() => answer());
    const end = () => new Promise((resolve) => ((answer = resolve), channel.send("end")));
    for (let i = 0; i < 4; i++) channel.send("warm", payload), await channel.drained();
    await end();
    const sendStart = performance.now();
    for (let i = 0; i < rounds; i++) channel.send("data", payload), await channel.drained();
    await end();
    const gbps = (bytes * rounds) / (performance.now() - sendStart) / 1e6;
    const pings = 3000;
    const start = performance.now();
    for (let i = 0; i < pings; i++) await new Promise((resolve) => ((answer = resolve), channel.send("ping")));
    return { gbps, roundTripMicros: ((performance.now() - start) * 1000) / pings };
  };
  const print = (what, { gbps, roundTripMicros }) => console.log(`${what.padEnd(44)} ${gbps.toFixed(2)} GB/s   round trip ${roundTripMicros.toFixed(0)} µs`);
  for (const checked of [true, false]) {
    const at = join(directory, `c${checked}.sock`);
    const channel = await new Promise(async (resolve) => {
      const listener = await listen(at, (opened) => (listener.close(), resolve(opened)), { checkPayload: checked });
      fork(self, ["receiver", at, String(checked)]);
    });
    print(`32 MiB to the side that connected, ${checked ? "checked" : "unchecked"}`, await send(channel, 32 * MiB, 60));
    await channel.close();
    const child = fork(self, ["listening-receiver", at, String(checked)]);
    await new Promise((resolve) => child.once("message", resolve));
    const other = await connect(at, { checkPayload: checked });
    print(`32 MiB to the side that accepted, ${checked ? "checked" : "unchecked"}`, await send(other, 32 * MiB, 60));
    await other.close();
  }
  fork(self, ["reducer", directory]);
  for (const { bytes, ms } of await reduce(0, directory)) console.log(`all-reduce of ${String(bytes / 1024).padStart(6)} KiB by 2 workers          ${ms.toFixed(3)} ms`);
  rmSync(directory, { recursive: true });
}
