/**
 * Calls the C++ compiler directly: one call per source file, in parallel, then the link. Headers that many sources include are parsed once. It needs neither make nor a
 * download of headers: the package node-api-headers has those of Node-API.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fullDisk, reportsFullDisk } from "./disk-space.mjs";
import { programsByName } from "./programs.mjs";
import { SetupError } from "./session.mjs";

export const compilerRemedy =
  "install a C++17 compiler (Debian, Ubuntu: `apt install g++`; Fedora: `dnf install gcc-c++`; macOS: `xcode-select --install`), or name one in CXX";

/** How a module finds its libraries. Modules that were linked in another way are compiled again. */
export const linkLayout = "rpath";

const answerWithin_ms = 60_000;

/** @typedef {{ readonly command: string, readonly args: readonly string[], readonly version: string }} Compiler `args`: words of CXX after the program */

/**
 * A compiler that accepts C++17 and has its headers, or the reason why none was found.
 * @param {import("./session.mjs").Session} session
 * @returns {Promise<Compiler | { readonly problem: string }>}
 */
export async function findCompiler(session) {
  const chosen = session.env.CXX?.trim();
  const candidates = chosen ? [commandWords(chosen)] : programsByName(session.env, ["c++", "g++", "clang++"]).map((path) => [path]);
  /** @type {string[]} */
  const problems = [];
  for (const [command = "", ...args] of candidates) {
    const name = [command, ...args].join(" ");
    const found = await session.run(command, [...args, "--version"], { timeout_ms: answerWithin_ms });
    if (found.code !== 0) {
      problems.push(`${name}: ${firstLine(found.tail) || `exit code ${found.code}`}`);
      continue;
    }
    const version = firstLine(found.stdout) || command;
    // An old compiler lacks the standard, and a compiler without its library lacks the headers.
    const check = [...args, "-std=c++17", "-include", "string_view", "-x", "c++", "-fsyntax-only", "/dev/null"];
    const checked = await session.run(command, check, { timeout_ms: answerWithin_ms });
    if (checked.code === 0) return { command, args, version };
    if (reportsFullDisk(checked.tail)) throw fullDisk({ path: session.env.TMPDIR ?? "/tmp", output: checked.tail });
    problems.push(`${version} does not compile C++17: ${firstLine(checked.tail)}`);
  }
  return { problem: `no C++17 compiler is found${problems.length === 0 ? "" : ` (${problems.join("; ")})`}` };
}

/**
 * The words of CXX: the path of a program, or a program with arguments such as `ccache g++ -m64`. Quotes keep a word with spaces together.
 * @param {string} text
 * @returns {string[]}
 */
export function commandWords(text) {
  if (existsSync(text)) return [text];
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, bare]) => double ?? single ?? bare ?? "");
}

/**
 * The compiler, or the error of a step that needs one.
 * @param {import("./session.mjs").Session} session
 * @returns {Promise<Compiler>}
 */
export async function requireCompiler(session) {
  const found = await findCompiler(session);
  if ("problem" in found) throw new SetupError({ code: "LAP_SETUP_COMPILER", message: found.problem, remedy: compilerRemedy });
  return found;
}

/** @param {string} text */
const firstLine = (text) => (text.trim().split("\n")[0] ?? "").trim().slice(0, 200);

/**
 * Parses the headers once, and returns the arguments with which sources use the result. A compiler that cannot do so reads the headers for each source.
 * @param {import("./session.mjs").Session} session
 * @param {{ command: string, common: readonly string[], headers: readonly string[], output: string, env: NodeJS.ProcessEnv }} what
 * @returns {Promise<readonly string[]>}
 */
async function precompile(session, { command, common, headers, output, env }) {
  writeFileSync(output, headers.map((header) => `#include "${header}"\n`).join(""));
  await session.run(command, [...common, "-x", "c++-header", output, "-o", `${output}.gch`], { env });
  return ["-include", output];
}

/**
 * Builds a Node-API module.
 * @param {import("./session.mjs").Session} session
 * @param {{
 *   label: string,
 *   compiler: Compiler,
 *   sources: readonly string[],
 *   includes: readonly string[],
 *   defines: readonly string[],
 *   libraries: { directory: string, names: readonly string[], runPath: string },
 *   flags?: readonly string[],
 *   headers?: readonly string[],
 *   output: string,
 * }} what `headers`: large ones, which are parsed once for all sources that include the first of them
 */
export async function compile(session, { label, compiler, sources, includes, defines, libraries, flags = ["-O2"], headers = [], output }) {
  const task = session.report.begin(label, `compiling ${sources.length} C++ files`);
  const common = [
    ...compiler.args,
    "-std=c++17",
    "-pipe",
    "-fPIC",
    "-w",
    ...flags,
    ...defines.map((name) => `-D${name}`),
    // Not -isystem: the compiler would search the directories of CPATH first, and they may contain another TensorFlow.
    ...includes.map((directory) => `-I${directory}`),
  ];
  const objects = sources.map((_, index) => `${output}.${index}.o`);
  // In English, so that a full disk is recognized.
  const env = { ...session.env, LC_ALL: "C" };
  const { command } = compiler;
  const shared = `${output}.headers.h`;
  const parsed = headers.length === 0 ? undefined : precompile(session, { command, common, headers, output: shared, env });
  const includesHeaders = (/** @type {string} */ source) => readFileSync(source, "utf8").includes(`#include "${headers[0]}"`);
  const compiled = await Promise.all(
    sources.map(async (source, index) => {
      const extra = (parsed !== undefined && includesHeaders(source) && (await parsed)) || [];
      return session.run(command, [...common, ...extra, "-c", source, "-o", String(objects[index])], { env });
    }),
  );
  const failed = compiled.find((result) => result.code !== 0);
  const linkFlags = [`-L${libraries.directory}`, ...libraries.names.map((name) => `-l${name}`), ...runPathFlags(libraries.runPath)];
  const bundle = process.platform === "darwin" ? ["-bundle", "-undefined", "dynamic_lookup"] : ["-shared"];
  const result =
    failed ?? (await session.run(compiler.command, [...compiler.args, ...bundle, ...objects, ...linkFlags, "-o", output], { env }));
  for (const file of [...objects, shared, `${shared}.gch`]) rmSync(file, { force: true });
  if (result.code !== 0) {
    task.end();
    if (reportsFullDisk(result.tail)) throw fullDisk({ path: output, output: result.tail });
    const words = [command, ...compiler.args].join(" ");
    throw new SetupError({ code: "LAP_SETUP_COMPILE", message: `${words} failed`, output: result.tail, remedy: compilerRemedy });
  }
  task.end(`compiled ${sources.length} C++ files`);
}

/**
 * Uses DT_RPATH, not DT_RUNPATH: the loader then searches our directory before LD_LIBRARY_PATH, which may name another TensorFlow.
 * @param {string} runPath
 */
function runPathFlags(runPath) {
  return [...(process.platform === "linux" ? ["-Wl,--disable-new-dtags"] : []), `-Wl,-rpath,${runPath}`];
}
