#!/usr/bin/env node
/**
 * Prints the CPU time of a worker's step by kernel. One worker of the group runs in this process, and receives its own messages in place of those of its peers.
 *
 * Messages go through the memory of this process, not through shared memory. Times are CPU time of this process, so that other load has little effect.
 */
import { spawnSync } from "node:child_process";
import { readFlags } from "../flags.mjs";
import { parseMeshText, programsOf, batchOf, flopOf } from "./case.mjs";

const { values, positionals } = readFlags(
  `node tools/bench/profile.mjs micro 16x16 --batch 16 --workers 2 --runs 5   also --numerics f32|mxu, --remat POLICY, --clip NORM, --no-fuse; --top N kernels, --list every call`,
  {
    batch: { type: "count", default: "16" },
    workers: { type: "count", default: "2" },
    runs: { type: "count", default: "5" },
    numerics: { type: "string", default: "f32", among: ["f32", "mxu"] },
    remat: { type: "string" },
    clip: { type: "number" },
    fuse: { type: "boolean", default: true },
    top: { type: "count", default: "25" },
    list: { type: "boolean", default: false },
  },
  { positionals: 2 },
);
const built = (/** @type {string} */ name) => import(new URL(`../../packages/${name}`, import.meta.url).href);
if (process.env.GLIBC_TUNABLES === undefined) {
  // Starts again with the environment of a worker, because the C library reads the environment only when a process starts.
  const { workerEnvironment } = await built("cluster/dist/worker-environment.js");
  const env = workerEnvironment(process.env, values.numerics);
  process.exit(spawnSync(process.execPath, [...process.execArgv, ...process.argv.slice(1)], { env, stdio: "inherit" }).status ?? 1);
}
const [model = "micro", mesh = "16x16"] = positionals;
const which = { model, mesh: parseMeshText(mesh), batch: Number(values.batch), numerics: /** @type {"f32" | "mxu"} */ (values.numerics) };
const { job, step, init, stateNames, compile_s } = await programsOf(which, {
  ...(values.remat === undefined ? {} : { remat: values.remat }),
  ...(values.clip === undefined ? {} : { clip: Number(values.clip) }),
});

const { stackedExecutor } = await built("executor/dist/execution/stacked.js");
const { openDevice } = await built("executor/dist/device/device.js");
const { arrayLayout, blockOf, takeBlock, workerRank } = await built("protocol/dist/index.js");
const { makeWorkerGrid } = await built("topology/dist/index.js");
const { withoutBlocks } = await built("ir/dist/index.js");

/** Answers every exchange with the sender's own parts. */
const loopback = {
  self: 0,
  exchange: async (/** @type {string} */ _tag, /** @type {Map<number, Uint8Array>} */ sends, /** @type {number[]} */ from) => {
    exchanged += [...sends.values()].reduce((n, bytes) => n + bytes.byteLength, 0);
    messages += sends.size;
    return new Map(from.map((peer) => [peer, sends.get(peer)?.slice()]));
  },
  recycle: () => undefined,
};
let [exchanged, messages] = [0, 0];
const cpu = {
  now: () => Date.now(),
  monotonic: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
};
const device = await openDevice();
device.warmUp();
const grid = makeWorkerGrid(step.mesh, Number(values.workers));
const executor = stackedExecutor({
  device,
  mesh: step.mesh,
  grid,
  worker: workerRank(0),
  peers: grid.workers > 1 ? loopback : undefined,
  numerics: which.numerics,
  clock: cpu,
  fuse: values.fuse,
  share: false,
});
const before = performance.now();
const program = executor.load(executor.prepare(step.chip));
const load_s = (performance.now() - before) / 1000;
const initial = executor.load(executor.prepare(init.chip));
const state = await initial.run([], [], "init");
/** @type {Map<string, unknown>} */
const held = new Map(initial.tensors.outputs.map((/** @type {{ id: string }} */ { id }, /** @type {number} */ i) => [id, state[i]]));
const batch = batchOf(job);
for (const tensor of program.tensors.parameters) {
  const array = /** @type {Record<string, unknown>} */ (batch)[tensor.id];
  const block = blockOf(arrayLayout({ mesh: step.mesh, grid }, tensor), workerRank(0));
  if (array !== undefined) held.set(tensor.id, executor.put(tensor, takeBlock(array, block)));
}
const runs = Number(values.runs);
const round = async (/** @type {string} */ tag) => {
  const outputs = await program.run(
    program.tensors.parameters.map((/** @type {{ id: string }} */ { id }) => held.get(id)),
    program.tensors.parameters.map((/** @type {{ id: string }} */ { id }) => stateNames.includes(id)),
    tag,
  );
  program.tensors.outputs.forEach((/** @type {{ id: string }} */ { id }, /** @type {number} */ i) => {
    if (stateNames.includes(id)) held.set(id, outputs[i]);
    else outputs[i].forEach((/** @type {{ dispose(): void }} */ t) => t.dispose());
  });
};
await round("warm");
const earlier = program.profile();
[exchanged, messages] = [0, 0];
const cpu0 = cpu.monotonic();
const best = earlier.map(() => Infinity);
let last = earlier.map((/** @type {{ ms: number }} */ s) => s.ms);
for (let r = 0; r < runs; r++) {
  await round(`r${r}`);
  const now = program.profile().map((/** @type {{ ms: number }} */ s) => s.ms);
  now.forEach((/** @type {number} */ ms, /** @type {number} */ i) => {
    best[i] = Math.min(best[i] ?? Infinity, ms - (last[i] ?? 0));
  });
  last = now;
}
const total = (cpu.monotonic() - cpu0) / runs;
/** @type {Map<string, { ms: number, count: number, gflop: number, mb: number }>} */
const rows = new Map();
let gemm = 0,
  fused = 0,
  others = 0,
  crossing = 0,
  gflop = 0;
program.profile().forEach((/** @type {any} */ { node, kind, call }, /** @type {number} */ i) => {
  const ms = best[i] ?? 0;
  const dims = (/** @type {number} */ id) => program.plan.nodes[id].type.dims;
  const size = (/** @type {readonly number[]} */ d) => d.reduce((a, b) => a * b, 1);
  let key = `${kind} ${node.op} ${node.type.dims.join("x")}`;
  let flop = 0,
    mb = 0;
  if (node.op === "dot_general" && kind === "kernel") {
    const [a, b] = node.inputs.map(dims);
    const k = node.attrs.contracting.reduce((/** @type {number} */ n, /** @type {number[]} */ [l]) => n * a[l ?? 0], 1);
    flop = 2 * size(node.type.dims) * k;
    key += ` = ${a.join("x")}${node.attrs.contracting[0][0] === a.length - 2 ? "ᵀ" : ""} · ${b.join("x")}${node.attrs.contracting[0][1] === b.length - 1 ? "ᵀ" : ""}`;
    gemm += ms;
    gflop += flop / 1e9;
  } else if (kind === "fused") {
    mb = [...call.inputs, ...call.outputs].reduce((n, id) => n + size(dims(id)) * 4, 0) / 1e6;
    key = `fused ${call.group.size}/${call.columns ?? "?"} members ${call.group.members.length} in ${call.inputs.length} out ${call.outputs.length} ..${withoutBlocks(node.value.name, node.value.scope.block === undefined ? [] : [node.value.scope.block])}`;
    fused += ms;
  } else if (kind === "kernel") others += ms;
  else crossing += ms;
  const row = rows.get(key) ?? { ms: 0, count: 0, gflop: 0, mb: 0 };
  rows.set(key, { ms: row.ms + ms, count: row.count + 1, gflop: row.gflop + flop / 1e9, mb: row.mb + mb });
});
console.log(
  `${model} ${mesh}: compile ${compile_s.toFixed(2)} s, load ${load_s.toFixed(2)} s; CPU ${total.toFixed(1)} ms a step (sum of the best ${(gemm + fused + others + crossing).toFixed(1)}): GEMM ${gemm.toFixed(1)} (${((gflop / gemm) * 1000).toFixed(0)} GFLOP/s), fused ${fused.toFixed(1)}, others ${others.toFixed(1)}, fabric ${crossing.toFixed(1)}; ${program.plannedKernels} calls; ${(exchanged / runs / 1e6).toFixed(2)} MB in ${messages / runs} messages; flop of half a step ${(flopOf(job) / 2e9).toFixed(1)} G; rss ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB`,
);
for (const [key, { ms, count, gflop, mb }] of [...rows].sort((a, b) => b[1].ms - a[1].ms).slice(0, Number(values.top)))
  console.log(
    `${ms.toFixed(2).padStart(8)} ms ${String(count).padStart(4)}×  ${gflop > 0 ? `${((gflop / ms) * 1000).toFixed(0)} GFLOP/s` : mb > 0 ? `${(mb / ms).toFixed(1)} GB/s` : ""}  ${key}`,
  );
if (values.list)
  program
    .profile()
    .forEach((/** @type {any} */ { node, kind, call }, /** @type {number} */ i) =>
      console.log(
        i,
        kind,
        best[i]?.toFixed(3),
        node.op,
        node.type.dims.join("x"),
        node.value.name,
        kind === "fused"
          ? `in ${call.inputs.map((/** @type {number} */ id) => program.plan.nodes[id].type.dims.join("x"))} out ${call.outputs.map((/** @type {number} */ id) => program.plan.nodes[id].value.name)}`
          : "",
      ),
    );
