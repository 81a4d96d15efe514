/**
 * The C++ header of the opcodes of fused kernels, written from the op table after each build of the packages. The set-up
 * compiles the kernels with it, so that an op of the table needs no entry in a list of C++.
 *
 *     op table of ir  tsc ──► packages/native/dist/opcodes.js ──► packages/native/cpp/kernels/opcodes.generated.h
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { SetupError } from "./session.mjs";

/** @param {string} root */
export const opcodesPath = (root) => join(root, "packages/native/cpp/kernels/opcodes.generated.h");

/**
 * Writes the header if it differs from that of the compiled packages.
 * @param {import("./session.mjs").Session} session
 */
export async function writeOpcodes(session) {
  const { root } = session;
  const source = join(root, "packages/native/dist/opcodes.js");
  if (!existsSync(source)) return;
  // In a separate process, because this process may have loaded modules of an earlier build.
  const script = `process.stdout.write((await import(${JSON.stringify(pathToFileURL(source).href)})).opcodeHeader())`;
  const { code, stdout, tail } = await session.run(process.execPath, ["--input-type=module", "--eval", script]);
  if (code !== 0)
    throw new SetupError({
      code: "LAP_SETUP_BUILD",
      message: "the opcodes of the fused kernels cannot be written",
      output: tail,
      remedy: "correct the error, or go back to a commit that builds",
    });
  const path = opcodesPath(root);
  if (existsSync(path) && readFileSync(path, "utf8") === stdout) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, stdout);
}
