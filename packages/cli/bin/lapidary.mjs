#!/usr/bin/env node
import { existsSync } from "node:fs";
import module from "node:module";

// Node 22 keeps the compiled modules on disk. Node 20 has no such cache.
module.enableCompileCache?.();

const main = new URL("../dist/main.js", import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write(
    "lapidary: error LAP_CLI_NOT_BUILT: the project is not built yet\n    place:  packages/cli/dist\n    remedy: run `npm run setup`, or `npm start`\n",
  );
  process.exitCode = 1;
}
