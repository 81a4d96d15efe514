/**
 * libtensorflow for tfjs-node. The installer of tfjs-node downloads from one fixed host. The set-up extracts the library
 * from the TensorFlow wheel of the user's package index instead, and compiles the binding (two C++ files) against it.
 *
 *     wheel ──► cache/libtensorflow-VERSION-…/{lib,include}           once per user
 *                  │ hard links                 │ headers
 *                  ▼                            ▼
 *     node_modules/@tensorflow/tfjs-node-gpu/deps/{lib,include}   c++ binding/*.cc ──► cache/tfjs-binding-…/
 *                  ▲ rpath                                                                │ copy
 *                  └──────────── lib/napi-v8/tfjs_binding.node ◄─────────────────────────┘
 *
 * Invariants: a directory of the cache is complete or absent; the stamp is written only after the binding was loaded.
 */
import { copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { firstDamage, publish, sha256Of, writeManifest } from "./cache.mjs";
import { compile, linkLayout, requireCompiler } from "./compiler.mjs";
import { setupNeeds_bytes } from "./disk-space.mjs";
import { SetupError } from "./session.mjs";
import { readStamp, removeStamp, writeStamp } from "./stamp.mjs";
import { provideWheelParts } from "./wheel.mjs";

const step = "libtensorflow";
const tensorflowVersion = "2.21.0";
const napiVersion = 8;
const ccLibrary = "libtensorflow_cc.so.2";
const frameworkLibrary = "libtensorflow_framework.so.2";
/** The headers that the binding and the kernels include. The wheel has five times as many bytes of headers, of compilers among others. */
const headers = ["Eigen", "absl", "google", "ml_dtypes", "tensorflow/c", "tensorflow/core", "third_party", "tsl", "unsupported", "xla/tsl"];
const members = {
  [`tensorflow/${ccLibrary}`]: `lib/${ccLibrary}`,
  [`tensorflow/${frameworkLibrary}`]: `lib/${frameworkLibrary}`,
  ...Object.fromEntries(headers.map((directory) => [`tensorflow/include/${directory}/`, `include/${directory}/`])),
};

/** @typedef {{ backend: "native" | "wasm" | "absent", detail: string, remedy: string }} LibtensorflowStatus */

/** @param {string} root */
function packageOf(root) {
  return join(root, "node_modules/@tensorflow/tfjs-node-gpu");
}

/** @param {string} root */
export function bindingPath(root) {
  return join(packageOf(root), `lib/napi-v${napiVersion}/tfjs_binding.node`);
}

/** Whether a driver works. The tool alone is not sufficient. @param {NodeJS.ProcessEnv} env */
function hasCuda(env) {
  const onPath = (env.PATH ?? "").split(delimiter).some((directory) => existsSync(join(directory, "nvidia-smi")));
  return onPath && existsSync("/proc/driver/nvidia/version");
}

/**
 * The variant for this machine: everything on which the result depends.
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 */
function wanted(root, env) {
  const manifest = join(packageOf(root), "package.json");
  const tfjs = existsSync(manifest) ? String(JSON.parse(readFileSync(manifest, "utf8")).version) : "absent";
  const override = env.LAPIDARY_LIBTENSORFLOW;
  const cuda = hasCuda(env);
  const source = override ? resolve(override) : `${cuda ? "cuda" : "cpu"}-${tensorflowVersion}`;
  return { tfjs, source, override, cuda, platform: `${process.platform}-${process.arch}`, abi: process.versions.modules };
}

/**
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 */
function keyOf(root, env) {
  const { tfjs, source, platform, abi } = wanted(root, env);
  return [tfjs, source, platform, abi, linkLayout].join(" ");
}

/**
 * Whether the step is complete, judged from files alone.
 * @param {{ root: string, env: NodeJS.ProcessEnv }} session
 */
export function isReady({ root, env }) {
  const stamp = readStamp(root, step);
  if (stamp?.key !== keyOf(root, env)) return false;
  if (stamp.backend === "wasm") return true;
  const sizes = /** @type {Record<string, number>} */ (stamp.sizes ?? {});
  return Object.entries(sizes).every(([path, size]) => statSync(join(packageOf(root), path), { throwIfNoEntry: false })?.size === size);
}

/**
 * The step: native if possible, otherwise WebAssembly with a warning.
 * @param {import("./session.mjs").Session} session
 * @param {unknown} [failure] of `fetchLibrary`
 */
export async function provideLibtensorflow(session, failure) {
  removeStamp(session.root, step);
  const { root, env } = session;
  try {
    if (failure !== undefined) throw failure;
    if (env.LAPIDARY_LIBTENSORFLOW === "stock") await runStockInstaller(session);
    else await provideNative(session);
    const task = session.report.begin(step, "loading the binding");
    const problem = await loadProblem(session);
    task.end(problem === undefined ? `the binding loads, ${wanted(root, env).source}` : undefined);
    if (problem !== undefined)
      throw new SetupError({
        code: "LAP_SETUP_BINDING_LOAD",
        message: "the tfjs binding does not load",
        output: problem,
        remedy: loadRemedy(session, problem),
      });
    writeStamp(root, step, { key: keyOf(root, env), backend: "native", sizes: sizesOf(root) });
  } catch (error) {
    // WebAssembly does not help if the disk is full, because checkpoints and logs could not be written either.
    if (session.interrupted || !(error instanceof SetupError) || error.code === "LAP_SETUP_DISK") throw error;
    session.report.warn(`WARNING: ${step}: ${error.message}`);
    if (error.output !== "") session.report.warn(error.output.replace(/^/gm, "    | "));
    session.report.warn(`    remedy: ${error.remedy}`);
    session.report.warn("    Until then the workers compute with the WebAssembly backend of tfjs: the same results, several times slower.");
    writeStamp(root, step, { key: keyOf(root, env), backend: "wasm", reason: error.message, remedy: error.remedy });
  }
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {string} problem what the loader said
 */
function loadRemedy({ root, env }, problem) {
  if (/failed to map segment|operation not permitted/i.test(problem))
    return `clone the project to a file system that allows execution: that of ${root} seems to be mounted noexec; or remount it with exec`;
  const foreign = ["LD_PRELOAD", "LD_LIBRARY_PATH"].filter((name) => env[name]);
  const first = foreign.length === 0 ? "" : `unset ${foreign.join(" and ")}, which may bring in other libraries; then `;
  if (/version [`'"](GLIBCXX|CXXABI)_/.test(problem))
    return `${first}name the C++ compiler of this system in CXX (its libstdc++ is the one that Node loads) and run \`lapidary setup libtensorflow\``;
  if (/version [`'"]GLIBC_/.test(problem))
    return `${first}use a system with a newer glibc, or point LAPIDARY_LIBTENSORFLOW to a directory with lib/ and include/ of a libtensorflow 2.x that is built for this one`;
  return `${first}run \`lapidary setup\`; if it comes back, point LAPIDARY_LIBTENSORFLOW to a directory with lib/ and include/ of libtensorflow 2.x`;
}

/** @param {import("./session.mjs").Session} session */
async function provideNative(session) {
  const { root, env } = session;
  const { override, platform } = wanted(root, env);
  if (override === undefined && !usesWheel(session)) {
    throw new SetupError({
      code: "LAP_SETUP_PLATFORM",
      message: `no libtensorflow is known for ${platform}`,
      remedy:
        "point LAPIDARY_LIBTENSORFLOW to a directory with lib/ and include/, or set it to `stock` for the installer that tfjs-node brings",
    });
  }
  // Files of the right size may still be damaged, if the machine crashed before they were on the disk. Then the step starts again.
  for (const deep of [false, true]) {
    const source = override ? resolve(override) : await provideLibrary(session, deep);
    await placeLibrary(session, source);
    await placeBinding(session, source, deep);
    if (deep || (await loadProblem(session)) === undefined) return;
    session.report.say(`${step}: the binding does not load; verifying and rebuilding it`);
  }
}

/** Whether the library comes from a wheel. @param {import("./session.mjs").Session} session */
const usesWheel = ({ root, env }) => wanted(root, env).override === undefined && wanted(root, env).platform.startsWith("linux-");

/** Fetches the library into the cache, ahead of the step. @param {import("./session.mjs").Session} session */
export async function fetchLibrary(session) {
  if (usesWheel(session)) await provideLibrary(session, false);
}

/**
 * @param {import("./session.mjs").Session} session
 * @param {boolean} deep verify the contents of what the cache holds
 */
async function provideLibrary(session, deep) {
  const { source, cuda, platform } = wanted(session.root, session.env);
  const directory = join(session.cache, `libtensorflow-${source}-${platform}`);
  if (deep && (await firstDamage(directory, { deep })) !== undefined) rmSync(directory, { recursive: true, force: true });
  const cpu = [`tensorflow-cpu==${tensorflowVersion}`, `tensorflow==${tensorflowVersion}`];
  await provideWheelParts(session, {
    label: step,
    directory,
    requirements: cuda ? cpu.reverse() : cpu,
    members,
    needs_bytes: setupNeeds_bytes,
  });
  return directory;
}

/**
 * Fills the package's `deps/` from `source/{lib,include}`.
 * @param {import("./session.mjs").Session} session
 * @param {string} source
 */
async function placeLibrary(session, source) {
  const cc = [ccLibrary, "libtensorflow.so.2", "libtensorflow.so"].find((name) => existsSync(join(source, "lib", name)));
  const framework = [frameworkLibrary, "libtensorflow_framework.so"].find((name) => existsSync(join(source, "lib", name)));
  if (cc === undefined || framework === undefined || !existsSync(join(source, "include/tensorflow/c/c_api.h"))) {
    throw new SetupError({
      code: "LAP_SETUP_LIBTENSORFLOW",
      message: `${source} is no libtensorflow: lib/${ccLibrary} (or libtensorflow.so.2), lib/${frameworkLibrary} and include/tensorflow/c/c_api.h are wanted`,
      remedy: "correct or unset LAPIDARY_LIBTENSORFLOW",
    });
  }
  await publish(session, join(packageOf(session.root), "deps"), (temporary) => {
    const lib = join(temporary, "lib");
    mkdirSync(lib, { recursive: true });
    linkOrPoint(join(source, "lib", cc), join(lib, cc));
    linkOrPoint(join(source, "lib", framework), join(lib, framework));
    // The linker searches for the plain names; the loader searches for the sonames of the wheel.
    for (const alias of ["libtensorflow.so", "libtensorflow.so.2"]) if (alias !== cc) symlinkSync(cc, join(lib, alias));
    for (const alias of ["libtensorflow_framework.so", frameworkLibrary]) if (alias !== framework) symlinkSync(framework, join(lib, alias));
    symlinkSync(join(source, "include"), join(temporary, "include"));
  });
}

/**
 * A hard link, or a symbolic one from another file system.
 * @param {string} from
 * @param {string} to
 */
function linkOrPoint(from, to) {
  try {
    linkSync(from, to);
  } catch {
    symlinkSync(from, to);
  }
}

/**
 * Compiles the binding into the cache unless the cache has it, and copies it to the path that tfjs-node loads.
 * @param {import("./session.mjs").Session} session
 * @param {string} source
 * @param {boolean} rebuild
 */
async function placeBinding(session, source, rebuild) {
  const { root, env } = session;
  const { tfjs, source: name, override, platform, abi } = wanted(root, env);
  const cached = override
    ? join(root, "node_modules/.lapidary/tfjs-binding")
    : join(session.cache, `tfjs-binding-${tfjs}-${name}-napi${napiVersion}-abi${abi}-${linkLayout}-${platform}`);
  if (rebuild || override || (await firstDamage(cached, { deep: true })) !== undefined) {
    const compiler = await requireCompiler(session);
    await publish(session, cached, async (temporary) => {
      mkdirSync(temporary, { recursive: true });
      const binary = join(temporary, "tfjs_binding.node");
      await compile(session, {
        label: step,
        compiler,
        sources: ["tfjs_backend.cc", "tfjs_binding.cc"].map((file) => join(packageOf(root), "binding", file)),
        includes: [join(source, "include"), join(root, "node_modules/node-api-headers/include")],
        defines: [`NAPI_VERSION=${napiVersion}`, "BUILDING_NODE_EXTENSION"],
        libraries: {
          directory: join(packageOf(root), "deps/lib"),
          names: ["tensorflow", "tensorflow_framework"],
          runPath: "$ORIGIN/../../deps/lib",
        },
        output: binary,
      });
      writeManifest(temporary, { "tfjs_binding.node": { size: statSync(binary).size, sha256: await sha256Of(binary) } });
    });
  }
  await publish(session, bindingPath(root), (temporary) => copyFileSync(join(cached, "tfjs_binding.node"), temporary));
}

/** Runs the installer of tfjs-node, for platforms without a wheel. @param {import("./session.mjs").Session} session */
async function runStockInstaller(session) {
  const task = session.report.begin(step, "running the installer of tfjs-node");
  const result = await session.run(process.execPath, ["scripts/install.js", "gpu", "download"], {
    cwd: packageOf(session.root),
    onLine: task.update,
  });
  task.end();
  if (result.code !== 0) {
    throw new SetupError({
      code: "LAP_SETUP_STOCK",
      message: "the installer of tfjs-node failed",
      output: result.tail,
      remedy: "unset LAPIDARY_LIBTENSORFLOW to use the wheel instead",
    });
  }
}

/**
 * Loads the binding in a separate process. The result is the problem, or undefined if the binding loads.
 * @param {import("./session.mjs").Session} session
 * @returns {Promise<string | undefined>} what was wrong
 */
export async function loadProblem(session) {
  const path = bindingPath(session.root);
  if (!existsSync(path)) return `${path} does not exist`;
  const script = `const binding = require(${JSON.stringify(path)}); if (typeof binding.TF_Version !== "string") throw new Error("no TF_Version in it"); console.log(binding.TF_Version);`;
  const result = await session.run(process.execPath, ["-e", script], { env: { ...session.env, TF_CPP_MIN_LOG_LEVEL: "2" } });
  return result.code === 0 ? undefined : result.tail;
}

/** @param {string} root */
function sizesOf(root) {
  const paths = [`lib/napi-v${napiVersion}/tfjs_binding.node`, "deps/lib/libtensorflow.so.2", `deps/lib/${frameworkLibrary}`];
  return Object.fromEntries(paths.map((path) => [path, statSync(join(packageOf(root), path)).size]));
}

/** Forgets a fall-back to WebAssembly, so that the step tries again. @param {{ root: string }} session */
export function forgetFallback({ root }) {
  if (readStamp(root, step)?.backend === "wasm") removeStamp(root, step);
}

/**
 * The backend that the workers will use, judged from the stamp and the files.
 * @param {{ root: string, env: NodeJS.ProcessEnv }} where
 * @returns {LibtensorflowStatus}
 */
export function libtensorflowStatus({ root, env }) {
  const remedy = "run `lapidary setup`";
  const stamp = readStamp(root, step);
  if (!isReady({ root, env })) {
    return { backend: "absent", detail: stamp === undefined ? "not set up" : "set up for something else, or files are missing", remedy };
  }
  if (stamp?.backend === "wasm")
    return { backend: "wasm", detail: `WebAssembly only: ${String(stamp.reason)}`, remedy: String(stamp.remedy) };
  return { backend: "native", detail: `${wanted(root, env).source} in ${packageOf(root)}`, remedy };
}
