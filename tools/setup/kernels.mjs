/**
 * What is written in C++, compiled for this very processor: the workers' kernels, against the headers that came with libtensorflow, and modules that need no
 * TensorFlow. They make steps and checkpoints faster and change no result; where they cannot be built, Lapidary does without.
 *
 *     packages/{worker,coordinator}/native/*.cc  c++ ──► cache/kernels-…/  copy ──► packages/worker/native/lapidary_{kernels,memory}.node
 *                                                                                   packages/coordinator/native/lapidary_disk.node
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { firstDamage, publish, sha256Of, writeManifest } from "./cache.mjs";
import { compile, linkLayout, requireCompiler } from "./compiler.mjs";
import { libtensorflowStatus } from "./libtensorflow.mjs";
import { opcodesPath, writeOpcodes } from "./opcodes.mjs";
import { SetupError } from "./session.mjs";
import { contentKey, readStamp, removeStamp, writeStamp } from "./stamp.mjs";

const step = "kernels";
const file = "lapidary_kernels.node";
const directory = "packages/worker/native";

/**
 * Modules that need no TensorFlow.
 * @type {readonly { file: string, directory: string, sources: readonly string[], headers: readonly string[], flags?: readonly string[] }[]}
 */
const plain = [
  { file: "lapidary_memory.node", directory, sources: ["memory.cc"], headers: [] },
  {
    file: "lapidary_disk.node",
    directory: "packages/coordinator/native",
    sources: ["disk.cc"],
    headers: ["arguments.h", "checksum.h", "mapping.h"].map((name) => `../../worker/native/${name}`),
    flags: ["-O3", "-march=native"],
  },
];

/** @param {string} root */
const sourcesOf = (root) => ["fused.cc", "gemm.cc", "shared.cc", "image.cc"].map((name) => join(root, directory, name));

/** All else that the binaries are made of. @param {string} root */
const othersOf = (root) => [
  ...[
    "arguments.h",
    "checksum.h",
    "cut.h",
    "elementwise.h",
    "gemm.h",
    "gemm_avx2.h",
    "gemm_avx512.h",
    "mapping.h",
    "shared.h",
    "vectors.h",
  ].map((name) => join(root, directory, name)),
  opcodesPath(root),
  ...plain.flatMap((module) => [...module.sources, ...module.headers].map((name) => join(root, module.directory, name))),
];

/** @param {string} root */
export const kernelsPath = (root) => join(root, directory, file);

/** @param {string} root */
const libraryOf = (root) => join(root, "node_modules/@tensorflow/tfjs-node-gpu/deps");

/** The line of the system that names the instructions of this processor; empty where there is none. */
export const processorFlags = () =>
  existsSync("/proc/cpuinfo") ? (/^flags.*$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0] ?? "") : "";

/** The binary holds instructions that other processors may lack. */
function processor() {
  return createHash("sha256")
    .update(`${process.platform} ${process.arch} ${cpus()[0]?.model ?? ""} ${processorFlags()}`)
    .digest("hex");
}

/** @param {{ root: string, env: NodeJS.ProcessEnv }} session */
function keyOf(session) {
  const { backend, detail } = libtensorflowStatus(session);
  return createHash("sha256")
    .update(contentKey([...sourcesOf(session.root), ...othersOf(session.root)]))
    .update(`${processor()} ${linkLayout} ${backend} ${backend === "native" ? detail.split(" in ")[0] : ""}`)
    .digest("hex")
    .slice(0, 24);
}

/** @param {{ root: string, env: NodeJS.ProcessEnv }} session */
export function isReady(session) {
  const stamp = readStamp(session.root, step);
  if (stamp?.key !== keyOf(session)) return false;
  return (
    stamp.state === "absent" ||
    (statSync(kernelsPath(session.root), { throwIfNoEntry: false })?.size === stamp.size &&
      plain.every((module) => existsSync(join(session.root, module.directory, module.file))))
  );
}

/** @param {import("./session.mjs").Session} session */
export async function provideKernels(session) {
  const { root } = session;
  removeStamp(root, step);
  await writeOpcodes(session);
  const key = keyOf(session);
  try {
    if (libtensorflowStatus(session).backend !== "native") {
      writeStamp(root, step, { key, state: "absent", reason: "there is no native libtensorflow" });
      return;
    }
    await buildKernels(session, key);
    writeStamp(root, step, { key, state: "built", size: statSync(kernelsPath(root)).size });
  } catch (error) {
    if (session.interrupted || !(error instanceof SetupError) || error.code === "LAP_SETUP_DISK") throw error;
    session.report.warn(`WARNING: ${step}: ${error.message}; workers compute without fused kernels, more slowly and with the same results`);
    if (error.output !== "") session.report.warn(error.output.replace(/^/gm, "    | "));
    session.report.warn(`    remedy: ${error.remedy}, then \`npm run setup kernels\``);
    writeStamp(root, step, { key, state: "absent", reason: error.message });
  }
}

/**
 * Compiles the kernels of a project into one module.
 * @param {import("./session.mjs").Session} session
 * @param {import("./compiler.mjs").Compiler} compiler
 * @param {string} output
 * @param {string} [optimization]
 */
export async function compileKernels(session, compiler, output, optimization = "-O3") {
  const { root } = session;
  await compile(session, {
    label: step,
    compiler,
    sources: sourcesOf(root),
    includes: [join(libraryOf(root), "include"), join(root, "node_modules/node-api-headers/include")],
    defines: ["NAPI_VERSION=8", "BUILDING_NODE_EXTENSION"],
    libraries: {
      directory: join(libraryOf(root), "lib"),
      names: ["tensorflow_framework"],
      runPath: "$ORIGIN/../../../node_modules/@tensorflow/tfjs-node-gpu/deps/lib",
    },
    // Sums keep their order: no flag here lets the compiler reassociate.
    flags: [
      optimization,
      "-march=native",
      ...(process.arch === "x64" ? ["-mprefer-vector-width=512"] : []),
      "-fno-math-errno",
      "-fno-trapping-math",
      "-fno-signed-zeros",
    ],
    output,
  });
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {string} key
 */
async function buildKernels(session, key) {
  const { root } = session;
  const cached = join(session.cache, `kernels-${key}`);
  if ((await firstDamage(cached, { deep: true })) !== undefined) {
    const compiler = await requireCompiler(session);
    await publish(session, cached, async (temporary) => {
      mkdirSync(temporary, { recursive: true });
      await compileKernels(session, compiler, join(temporary, file));
      for (const module of plain)
        await compile(session, {
          label: step,
          compiler,
          sources: module.sources.map((name) => join(root, module.directory, name)),
          includes: [join(root, "node_modules/node-api-headers/include")],
          defines: ["NAPI_VERSION=8", "BUILDING_NODE_EXTENSION"],
          libraries: { directory: join(libraryOf(root), "lib"), names: [], runPath: "$ORIGIN" },
          ...(module.flags === undefined ? {} : { flags: module.flags }),
          output: join(temporary, module.file),
        });
      const entry = async (/** @type {string} */ name) => ({
        size: statSync(join(temporary, name)).size,
        sha256: await sha256Of(join(temporary, name)),
      });
      const built = [file, ...plain.map((module) => module.file)];
      writeManifest(temporary, Object.fromEntries(await Promise.all(built.map(async (name) => [name, await entry(name)]))));
    });
  }
  for (const module of plain)
    await publish(session, join(root, module.directory, module.file), (temporary) => copyFileSync(join(cached, module.file), temporary));
  await publish(session, kernelsPath(root), (temporary) => copyFileSync(join(cached, file), temporary));
}
