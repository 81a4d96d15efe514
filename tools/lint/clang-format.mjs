#!/usr/bin/env node
/**
 * The format of the C++ files: `.clang-format` at the root, applied by the clang-format of the package clang-format-node.
 *
 *     node tools/lint/clang-format.mjs           reports files of another format
 *     node tools/lint/clang-format.mjs --write   formats them
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { packageNames } from "../setup/build.mjs";
import { projectRoot } from "../setup/session.mjs";

/**
 * The C++ files of the project, without those that the build writes.
 * @param {string} root
 */
export function cppFiles(root) {
  const directories = [...packageNames(root).map((name) => `packages/${name}/cpp`), "tools"];
  return directories
    .filter((directory) => existsSync(join(root, directory)))
    .flatMap((directory) =>
      readdirSync(join(root, directory), { recursive: true, encoding: "utf8" })
        .filter((name) => /\.(cc|h)$/.test(name) && !name.endsWith(".generated.h"))
        .sort()
        .map((name) => join(directory, name)),
    );
}

/**
 * Runs clang-format on files.
 * @param {string} root
 * @param {readonly string[]} files
 * @param {{ readonly write: boolean }} options
 * @returns {{ readonly ok: boolean, readonly output: string }} `output` names the lines of another format
 */
export function clangFormat(root, files, { write }) {
  /** @type {{ readonly clangFormatPath: string }} */
  const { clangFormatPath } = createRequire(import.meta.url)("clang-format-node");
  const args = ["--style=file", "--color=false", ...(write ? ["-i"] : ["--dry-run", "--Werror", "--ferror-limit=20"])];
  const { status, stderr, error } = spawnSync(clangFormatPath, [...args, ...files], { cwd: root, encoding: "utf8" });
  return { ok: status === 0, output: error?.message ?? stderr };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { ok, output } = clangFormat(projectRoot, cppFiles(projectRoot), { write: process.argv.includes("--write") });
  process.stdout.write(output);
  if (!ok) process.exitCode = 1;
}
