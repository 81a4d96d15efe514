/**
 * A copy of a part of the project, to which edits of a document are applied.
 *
 *     scratch/packages/…        copies of the given packages and of their dependencies, sources and compiled files
 *     scratch/node_modules/…    links to the packages of the project, and for @lapidary to the copies
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

/** @typedef {{ readonly path: string, readonly before: string, readonly after: string }} Edit */

/**
 * The edits of a section of a document: its `diff` blocks, whose first line names the file. Lines that begin with a blank are in
 * the file. Lines that begin with a plus are added after them.
 *
 * @param {string} text Markdown
 * @param {string} heading of the section
 * @returns {readonly Edit[]}
 */
export function editsOf(text, heading) {
  const [, section] = text.split(`\n## ${heading}\n`);
  if (section === undefined) throw new Error(`the document has no section "${heading}"`);
  const [own = ""] = section.split("\n## ");
  return [...own.matchAll(/```diff\n--- (\S+)\n([^]*?)```/g)].map(([, path = "", body = ""]) => {
    const lines = body.split("\n").slice(0, -1);
    const odd = lines.find((line) => !/^[ +]/.test(line));
    if (odd !== undefined) throw new Error(`a line of an edit begins with a blank or a plus: ${odd}`);
    const textOf = (/** @type {readonly string[]} */ chosen) => chosen.map((line) => `${line.slice(1)}\n`).join("");
    return { path, before: textOf(lines.filter((line) => line.startsWith(" "))), after: textOf(lines) };
  });
}

export class ScratchProject {
  /** @type {Map<string, string>} The files that edits name, as they are in the project. */
  #originals = new Map();

  /**
   * @param {string} root of the project
   * @param {readonly string[]} packages
   */
  constructor(root, packages) {
    this.root = mkdtempSync(join(tmpdir(), "lapidary-scratch-"));
    const isCopied = (/** @type {string} */ path) => basename(path) !== "node_modules";
    for (const file of ["package.json", "tsconfig.base.json", ".mocharc.json"]) cpSync(join(root, file), join(this.root, file));
    // Packages may read tools/setup.
    cpSync(join(root, "tools/setup"), join(this.root, "tools/setup"), { recursive: true });
    const modules = join(this.root, "node_modules");
    mkdirSync(join(modules, "@lapidary"), { recursive: true });
    for (const name of readdirSync(join(root, "node_modules")))
      if (name !== "@lapidary" && name !== ".lapidary") symlinkSync(join(root, "node_modules", name), join(modules, name));
    /** @type {Set<string>} */
    this.packages = new Set(packages);
    for (const name of this.packages) {
      cpSync(join(root, "packages", name), join(this.root, "packages", name), {
        recursive: true,
        filter: isCopied,
        preserveTimestamps: true,
      });
      symlinkSync(join(this.root, "packages", name), join(modules, "@lapidary", name));
      const { dependencies = {} } = JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8"));
      for (const dependency of Object.keys(dependencies)) {
        const [, own] = /^@lapidary\/(.*)$/.exec(dependency) ?? [];
        if (own !== undefined) this.packages.add(own);
      }
    }
  }

  /**
   * Resets the files to those of the project, with only these edits.
   * @param {readonly Edit[]} edits
   */
  apply(edits) {
    /** @type {Map<string, string>} */
    const texts = new Map(this.#originals);
    for (const { path, before, after } of edits) {
      const original = this.#originals.get(path) ?? readFileSync(join(this.root, path), "utf8");
      this.#originals.set(path, original);
      const parts = (texts.get(path) ?? original).split(`\n${before}`);
      if (parts.length !== 2) throw new Error(`${path} holds these lines ${parts.length - 1} times, not once:\n${before}`);
      texts.set(path, parts.join(`\n${after}`));
    }
    for (const [path, text] of texts) if (readFileSync(join(this.root, path), "utf8") !== text) writeFileSync(join(this.root, path), text);
  }

  clear() {
    rmSync(this.root, { recursive: true });
  }
}
