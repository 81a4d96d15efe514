/**
 * The C++ compiler, called directly: one call per source file, side by side, then the link. No make, no generator,
 * no headers to download: Node-API's come from the package node-api-headers.
 */
import { rmSync } from "node:fs";
import { SetupError } from "./session.mjs";

export const compilerRemedy =
  "install a C++17 compiler (Debian, Ubuntu: `apt install g++`; Fedora: `dnf install gcc-c++`; macOS: `xcode-select --install`), or name one in CXX";

/**
 * @param {import("./session.mjs").Session} session
 * @returns {Promise<{ command: string, version: string } | undefined>}
 */
export async function findCompiler(session) {
  const candidates = session.env.CXX ? [session.env.CXX] : ["c++", "g++", "clang++"];
  for (const command of candidates) {
    const found = await session.run(command, ["--version"]);
    if (found.code === 0) return { command, version: found.stdout.split("\n")[0] ?? command };
  }
  return undefined;
}

/**
 * Builds a Node-API module.
 * @param {import("./session.mjs").Session} session
 * @param {{
 *   label: string,
 *   compiler: { command: string },
 *   sources: readonly string[],
 *   includes: readonly string[],
 *   defines: readonly string[],
 *   libraries: { directory: string, names: readonly string[], runPath: string },
 *   flags?: readonly string[],
 *   output: string,
 * }} what
 */
export async function compile(session, { label, compiler, sources, includes, defines, libraries, flags = ["-O2"], output }) {
  const task = session.report.begin(label, `compiling ${sources.length} C++ files`);
  const common = [
    "-std=c++17",
    "-pipe",
    "-fPIC",
    "-w",
    ...flags,
    ...defines.map((name) => `-D${name}`),
    ...includes.flatMap((directory) => ["-isystem", directory]),
  ];
  const objects = sources.map((_, index) => `${output}.${index}.o`);
  const compiled = await Promise.all(
    sources.map((source, index) => session.run(compiler.command, [...common, "-c", source, "-o", String(objects[index])])),
  );
  const failed = compiled.find((result) => result.code !== 0);
  const linkFlags = [`-L${libraries.directory}`, ...libraries.names.map((name) => `-l${name}`), `-Wl,-rpath,${libraries.runPath}`];
  const shared = process.platform === "darwin" ? ["-bundle", "-undefined", "dynamic_lookup"] : ["-shared"];
  const result = failed ?? (await session.run(compiler.command, [...shared, ...objects, ...linkFlags, "-o", output]));
  for (const object of objects) rmSync(object, { force: true });
  if (result.code !== 0) {
    task.end();
    throw new SetupError({ code: "LAP_SETUP_COMPILE", message: `${compiler.command} failed`, output: result.tail, remedy: compilerRemedy });
  }
  task.end(`compiled ${sources.length} C++ files`);
}
