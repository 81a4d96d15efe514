#!/usr/bin/env node
/** `npm start`: runs the set-up, then `lapidary start`. It is plain JavaScript without dependencies, so it runs on a fresh clone. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { setUp, underSession } from "./setup/main.mjs";
import { Session } from "./setup/session.mjs";

const session = new Session();
if (await underSession(session, () => setUp(session))) {
  // In the same process, so that Node does not start twice and signals arrive directly.
  const command = join(session.root, "packages/cli/bin/lapidary.mjs");
  process.argv = [process.execPath, command, "start", ...process.argv.slice(2)];
  await import(pathToFileURL(command).href);
} else {
  process.exitCode = 1;
}
