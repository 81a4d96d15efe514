/**
 * A copy of the built packages in which mutants are planted. Everything but `dist` is linked to the project, and an import of `@lapidary/NAME`
 * leads to the copy. So the tests of one package run against the mutants of another, and an interrupted run leaves the project as it was.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** @param {string} root the project @returns {string} the copy's root, which the caller removes */
export function makeSandbox(root) {
  const sandbox = mkdtempSync(join(tmpdir(), "lapidary-mutants-"));
  for (const name of readdirSync(root))
    if (!["packages", "node_modules", ".git", ".lapidary"].includes(name)) symlinkSync(join(root, name), join(sandbox, name));
  mkdirSync(join(sandbox, "node_modules/@lapidary"), { recursive: true });
  for (const name of readdirSync(join(root, "node_modules")))
    if (name !== "@lapidary") symlinkSync(join(root, "node_modules", name), join(sandbox, "node_modules", name));
  for (const name of readdirSync(join(root, "packages"))) {
    const copy = join(sandbox, "packages", name);
    mkdirSync(copy, { recursive: true });
    for (const entry of readdirSync(join(root, "packages", name)))
      if (entry === "dist") cpSync(join(root, "packages", name, entry), join(copy, entry), { recursive: true });
      else symlinkSync(join(root, "packages", name, entry), join(copy, entry));
    symlinkSync(join("../../packages", name), join(sandbox, "node_modules/@lapidary", name));
  }
  return sandbox;
}
