#!/usr/bin/env node
/** `npm run lint`: runs every check of the sources in the project's root. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { underSession } from "../setup/main.mjs";
import { Session } from "../setup/session.mjs";

/** @typedef {{ readonly check: string, readonly output: string }} Finding */
/** @typedef {{ readonly name: string, readonly script: string, readonly args: readonly string[] }} Check `script` is a path below node_modules */

const cspellCache = ["--cache", "--cache-strategy", "content", "--cache-location", "node_modules/.lapidary/cspell-cache"];

/** @type {readonly Check[]} */
export const checks = [
  {
    name: "biome: form, types of mistakes, import circles, length of functions",
    script: "@biomejs/biome/bin/biome",
    args: ["check", "--assist-enabled=false", "--colors=off", "--reporter=concise", "--max-diagnostics=none"],
  },
  {
    name: "dependency-cruiser: order of the packages",
    script: "dependency-cruiser/bin/dependency-cruise.mjs",
    args: ["--config", ".dependency-cruiser.mjs", "--output-type", "err", "--no-cache", "packages"],
  },
  { name: "knip: unused exports, files and dependencies", script: "knip/bin/knip.js", args: ["--reporter", "compact", "--no-progress"] },
  {
    name: "cspell: words that the glossary replaces",
    script: "cspell/bin.mjs",
    // The cache compares files by their content.
    args: ["lint", "--config", "cspell.json", "--no-progress", "--no-summary", "--no-color", ...cspellCache],
  },
  { name: "markdownlint: form of Markdown", script: "markdownlint-cli2/markdownlint-cli2-bin.mjs", args: [] },
  { name: "clang-format: form of C++ (`npm run format` corrects it)", script: "../tools/lint/clang-format.mjs", args: [] },
  { name: "tsc: types of tools/", script: "@typescript/native/bin/tsc", args: ["-p", "tools/tsconfig.json", "--pretty", "false"] },
];

/**
 * @param {Session} session
 * @returns {Promise<readonly Finding[]>} the checks that failed, with what they printed
 */
export async function lint(session) {
  const task = session.report.begin("lint", "biome, dependency-cruiser, knip, cspell, markdownlint, clang-format, types of tools/");
  const results = await Promise.all(
    checks.map(async ({ name, script, args }) => {
      const { code, tail } = await session.run(process.execPath, [join(session.root, "node_modules", script), ...args]);
      return { check: `lint: ${name}`, output: tail, failed: code !== 0 };
    }),
  );
  const findings = results.filter(({ failed }) => failed).map(({ check, output }) => ({ check, output }));
  task.end(findings.length === 0 ? "clean" : `${findings.length} of ${checks.length} checks failed`);
  return findings;
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
