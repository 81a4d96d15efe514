#!/usr/bin/env node
import { existsSync } from "node:fs";
import module from "node:module";
import { fileURLToPath } from "node:url";

// Node 22 keeps compiled modules on disk; Node 20 has no such cache. The directory is private: in its default place, the temporary
// directory, another user could write code that this process runs.
module.enableCompileCache?.(fileURLToPath(new URL("../../../.lapidary/compile-cache", import.meta.url)));

const main = new URL("../dist/main.js", import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write(
    "lapidary: error LAP_CLI_NOT_BUILT: the project is not built yet\n    place:  packages/cli/dist\n    remedy: run `npm run setup`, or `npm start`\n",
  );
  process.exitCode = 1;
}
