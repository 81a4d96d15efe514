/**
 * Compiles the native libraries for the processor of this machine. They make steps and checkpoints faster and change no
 * result. If they cannot be compiled, Lapidary runs without them.
 *
 *     packages/native/cpp  c++ ──► cache/kernels-…/  copy ──► packages/native/lib/lapidary_{kernels,memory,disk}.node
 */
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { firstDamage, publish, sha256Of, writeManifest } from "./cache.mjs";
import { compile, linkLayout, requireCompiler } from "./compiler.mjs";
import { libtensorflowStatus } from "./libtensorflow.mjs";
import { writeOpcodes } from "./opcodes.mjs";
import { SetupError } from "./session.mjs";
import { contentKey, readStamp, removeStamp, writeStamp } from "./stamp.mjs";

const step = "kernels";
const sourceDirectory = "packages/native/cpp";
const outputDirectory = "packages/native/lib";

/**
 * A native library: it is compiled from the `.cc` files of its directories.
 * @typedef {{ readonly file: string, readonly directory: string, readonly flags: readonly string[] }} Library
 */

/** The TensorFlow ops of the workers. @type {Library} */
export const kernels = {
  file: "lapidary_kernels.node",
  directory: "kernels",
  // Sums keep their order: none of these flags lets the compiler reassociate.
  flags: [
    "-march=native",
    ...(process.arch === "x64" ? ["-mprefer-vector-width=512"] : []),
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
  ],
};

/** The headers of TensorFlow that every op includes, in this order. Parsing them takes most of the time that an op compiles. */
const opHeaders = ["op.h", "op_kernel.h", "shape_inference.h"].map((name) => `tensorflow/core/framework/${name}`);

/** The libraries that do not use TensorFlow. @type {readonly Library[]} */
export const plainLibraries = [
  { file: "lapidary_memory.node", directory: "memory", flags: ["-O2"] },
  { file: "lapidary_disk.node", directory: "disk", flags: ["-O3", "-march=native"] },
];

/**
 * The files below the source directory with one of these extensions, in order.
 * @param {string} root
 * @param {string} directory
 * @param {RegExp} extension
 */
function filesOf(root, directory, extension) {
  const path = join(root, sourceDirectory, directory);
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => extension.test(name))
    .sort()
    .map((name) => join(path, name));
}

/** @param {string} root @param {Library} library */
const sourcesOf = (root, library) => filesOf(root, library.directory, /\.cc$/);

/** @param {string} root */
export const kernelsPath = (root) => join(root, outputDirectory, kernels.file);

/** @param {string} root */
const libraryOf = (root) => join(root, "node_modules/@tensorflow/tfjs-node-gpu/deps");

/** The line of the system that names the instructions of this processor; empty where there is none. */
export const processorFlags = () =>
  existsSync("/proc/cpuinfo") ? (/^flags.*$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0] ?? "") : "";

/** The binary contains instructions that other processors may lack. */
function processor() {
  return createHash("sha256")
    .update(`${process.platform} ${process.arch} ${cpus()[0]?.model ?? ""} ${processorFlags()}`)
    .digest("hex");
}

/** The name of the directory of the cache, and of the prebuilt libraries of an installed package. @param {{ root: string, env: NodeJS.ProcessEnv }} session */
export const kernelsName = (session) => `kernels-${keyOf(session)}`;

/** @param {{ root: string, env: NodeJS.ProcessEnv }} session */
function keyOf(session) {
  const { backend, detail } = libtensorflowStatus(session);
  return createHash("sha256")
    .update(contentKey(session.root, filesOf(session.root, ".", /\.(cc|h)$/)))
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
      plainLibraries.every(({ file }) => existsSync(join(session.root, outputDirectory, file))))
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
    session.report.warn(`    remedy: ${error.remedy}, then \`lapidary setup kernels\``);
    writeStamp(root, step, { key, state: "absent", reason: error.message });
  }
}

/**
 * Compiles the kernels of a project into one library.
 * @param {import("./session.mjs").Session} session
 * @param {import("./compiler.mjs").Compiler} compiler
 * @param {string} output
 * @param {string} [optimization]
 */
export async function compileKernels(session, compiler, output, optimization = "-O3") {
  const { root } = session;
  await compile(session, {
    ...settingsOf(root, kernels),
    compiler,
    libraries: {
      directory: join(libraryOf(root), "lib"),
      names: ["tensorflow_framework"],
      runPath: "$ORIGIN/../../../node_modules/@tensorflow/tfjs-node-gpu/deps/lib",
    },
    flags: [optimization, ...kernels.flags],
    headers: opHeaders,
    output,
  });
}

/** @param {string} root @param {Library} library */
const settingsOf = (root, library) => ({
  label: step,
  sources: sourcesOf(root, library),
  includes: [
    join(root, sourceDirectory),
    ...(library === kernels ? [join(libraryOf(root), "include")] : []),
    join(root, "node_modules/node-api-headers/include"),
  ],
  defines: ["NAPI_VERSION=8", "BUILDING_NODE_EXTENSION"],
});

/**
 * The warnings of a compiler for the sources and own headers of a library. The set-up compiles without warnings, because
 * warnings of another compiler must not stop it.
 * @param {import("./session.mjs").Session} session
 * @param {import("./compiler.mjs").Compiler} compiler
 * @param {Library} library
 * @returns {Promise<string>} empty without warnings
 */
export async function warningsOf(session, compiler, library) {
  const { sources, includes, defines } = settingsOf(session.root, library);
  const [own = "", ...foreign] = includes;
  const args = [
    ...compiler.args,
    ...["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", `-I${own}`],
    ...foreign.flatMap((directory) => ["-isystem", directory]),
    ...defines.map((name) => `-D${name}`),
    ...library.flags,
  ];
  const results = await Promise.all(sources.map((source) => session.run(compiler.command, [...args, source])));
  return results.map(({ code, tail }) => (code === 0 ? "" : tail)).join("");
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {string} key
 */
async function buildKernels(session, key) {
  const { root } = session;
  const cached = join(session.cache, `kernels-${key}`);
  const files = [kernels, ...plainLibraries].map(({ file }) => file);
  const prebuilt = join(root, "prebuilt", `kernels-${key}`);
  const isCached = (await firstDamage(cached, { deep: true })) === undefined;
  if (!isCached && (await firstDamage(prebuilt, { deep: true })) === undefined)
    await publish(session, cached, (temporary) => cpSync(prebuilt, temporary, { recursive: true }));
  else if (!isCached) {
    const compiler = await requireCompiler(session);
    await publish(session, cached, async (temporary) => {
      mkdirSync(temporary, { recursive: true });
      await compileKernels(session, compiler, join(temporary, kernels.file));
      for (const library of plainLibraries)
        await compile(session, {
          ...settingsOf(root, library),
          compiler,
          libraries: { directory: join(libraryOf(root), "lib"), names: [], runPath: "$ORIGIN" },
          flags: library.flags,
          output: join(temporary, library.file),
        });
      const entry = async (/** @type {string} */ name) => ({
        size: statSync(join(temporary, name)).size,
        sha256: await sha256Of(join(temporary, name)),
      });
      writeManifest(temporary, Object.fromEntries(await Promise.all(files.map(async (name) => [name, await entry(name)]))));
    });
  }
  mkdirSync(join(root, outputDirectory), { recursive: true });
  // The kernels come last, because their size shows whether the step is complete.
  for (const file of files.reverse())
    await publish(session, join(root, outputDirectory, file), (temporary) => copyFileSync(join(cached, file), temporary));
}
