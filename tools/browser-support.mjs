import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { projectRoot } from "./setup/session.mjs";

/**
 * Opens the browser of the dashboard tests. Compiles the tests first, because only `npm test` does so otherwise.
 * @returns {Promise<typeof import("../e2e/support/browser.js")>}
 */
export async function browserSupport() {
  execFileSync(process.execPath, [join(projectRoot, "node_modules/@typescript/native/bin/tsc"), "-b", "e2e"], {
    cwd: projectRoot,
    stdio: "inherit",
  });
  return import(pathToFileURL(join(projectRoot, "e2e/dist/support/browser.js")).href);
}
