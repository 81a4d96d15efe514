#!/usr/bin/env node
/** `npm start`: sets up what is missing, then becomes `lapidary start`. Plain JavaScript, no dependencies: it runs on a fresh clone. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { setUp, underSession } from "./setup/main.mjs";
import { Session } from "./setup/session.mjs";

const session = new Session();
if (await underSession(session, () => setUp(session))) {
  // In this very process: no second start-up, and signals reach it directly.
  const command = join(session.root, "packages/cli/bin/lapidary.mjs");
  process.argv = [process.execPath, command, "start", ...process.argv.slice(2)];
  await import(pathToFileURL(command).href);
} else {
  process.exitCode = 1;
}
