#!/usr/bin/env node
/** `npm run lint`: package order and house rules, biome, the types of the plain JavaScript in tools/, Markdown, and the format of C++. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { underSession } from "../setup/main.mjs";
import { Session } from "../setup/session.mjs";

/** @typedef {{ readonly check: string, readonly output: string }} Finding */

/**
 * @param {Session} session
 * @returns {Promise<readonly Finding[]>} the checks that failed
 */
export async function lint(session) {
  const task = session.report.begin("lint", "package order, biome, types of tools/, Markdown, C++");
  const bin = join(session.root, "node_modules");
  const [order, biome, types, markdown, cpp] = await Promise.all([
    checkOrder(session),
    session.run(process.execPath, [
      join(bin, "@biomejs/biome/bin/biome"),
      "check",
      "--assist-enabled=false",
      "--colors=off",
      "--reporter=concise",
      "--max-diagnostics=none",
    ]),
    session.run(process.execPath, [join(bin, "@typescript/native/bin/tsc"), "-p", "tools/tsconfig.json", "--pretty", "false"]),
    session.run(process.execPath, [join(bin, "markdownlint-cli2/markdownlint-cli2-bin.mjs")]),
    session.run(process.execPath, [join(session.root, "tools/lint/clang-format.mjs")]),
  ]);
  /** @type {Finding[]} */
  const findings = [];
  if (order !== "") findings.push({ check: "lint: package order and house rules", output: order });
  if (biome.code !== 0) findings.push({ check: "lint: biome", output: biome.tail });
  if (types.code !== 0) findings.push({ check: "lint: types of tools/", output: types.tail });
  if (markdown.code !== 0) findings.push({ check: "lint: Markdown", output: markdown.tail });
  if (cpp.code !== 0) findings.push({ check: "lint: format of C++ (`npm run format` corrects it)", output: cpp.tail });
  task.end(findings.length === 0 ? "clean" : `${findings.length} of 5 checks failed`);
  return findings;
}

/** @param {Session} session */
async function checkOrder(session) {
  // Loaded here: it needs node_modules, which the set-up brings.
  const { lintPackages } = await import("./package-order.mjs");
  return lintPackages(session.root)
    .map(({ file, line, rule, message }) => `${file}:${line} ${rule}: ${message}`)
    .join("\n");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const session = new Session();
  const ok = await underSession(session, async () => {
    for (const { check, output } of await lint(session)) {
      process.stdout.write(`✘ ${check}\n${output.replace(/^/gm, "    ")}\n`);
      process.exitCode = 1;
    }
  });
  if (!ok) process.exitCode = 1;
}
