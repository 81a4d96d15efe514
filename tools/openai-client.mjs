#!/usr/bin/env node
/**
 * The pinned client of the OpenAI API for the test of `lapidary serve`. `node tools/openai-client.mjs` prints the path of its module. The package is in the
 * cache and not in node_modules, whose text is the default corpus. If it is missing, npm downloads it, and its integrity is checked.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { publish } from "./setup/cache.mjs";
import { underSession } from "./setup/main.mjs";
import { Session, SetupError } from "./setup/session.mjs";

const version = "7.59.0";
const integrity = "sha512-wPYKJkLPFEdNJ2tThSg4jE1Ptsv4X3u8g8LIvu0Qz/UIhsKeCzl73rl48PtQsDVrJL/ku0liXOsbyd2TsRsPJw==";

/** @param {Session} session @param {string} directory */
async function download(session, directory) {
  mkdirSync(directory, { recursive: true });
  const remedy = "run `npm view openai` to see whether the registry answers";
  const packed = await session.run("npm", ["pack", `openai@${version}`, "--silent", "--ignore-scripts", "--pack-destination", directory]);
  const archive = join(directory, `openai-${version}.tgz`);
  if (packed.code !== 0 || !existsSync(archive))
    throw new SetupError({ code: "LAP_SETUP_NPM", message: `openai ${version} cannot be downloaded: ${packed.tail}`, remedy });
  const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
  if (found !== integrity)
    throw new SetupError({
      code: "LAP_SETUP_NPM",
      message: `openai ${version} has the integrity ${found}`,
      remedy: "use another registry",
    });
  const unpacked = await session.run("tar", ["-xzf", archive, "-C", directory]);
  if (unpacked.code !== 0) throw new SetupError({ code: "LAP_SETUP_NPM", message: `${archive} cannot be unpacked`, remedy });
}

const session = new Session();
const ok = await underSession(session, async () => {
  const directory = join(session.cache, `openai-${version}`);
  if (!existsSync(directory)) await publish(session, directory, (temporary) => download(session, temporary));
  process.stdout.write(`${join(directory, "package/index.mjs")}\n`);
});
if (!ok) process.exitCode = 1;
