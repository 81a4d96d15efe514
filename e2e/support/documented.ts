import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";
import { root } from "./cli.js";

/** A command line in a text, split into words. `$…` and names in capitals are placeholders. */
export interface DocumentedCommand {
  /** `README.md:40` */
  readonly place: string;
  readonly text: string;
  readonly words: readonly string[];
  /** Whether it is a line of a code block, and so complete. A mention in a sentence may omit arguments. */
  readonly isWhole: boolean;
}

/** Markdown that users read: README, docs, and the READMEs of packages and tools. */
export function documents(): string[] {
  // READMEs of single cases also show commands that fail.
  const folders = ["docs", "packages", "tools"];
  const below = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md") && !name.includes("node_modules"))
      .map((name) => join(folder, name)),
  );
  return ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "e2e/cases/README.md", ...below].filter(
    (name) => !name.startsWith("docs/history/"),
  );
}

export interface Code {
  readonly place: string;
  readonly code: string;
  readonly isBlock: boolean;
}

/** Pieces of code in a Markdown file: the lines of its code blocks, and its inline code. */
export function codeIn(file: string): Code[] {
  let isBlock = false;
  return readFileSync(join(root, file), "utf8")
    .split("\n")
    .flatMap((line, i): Code[] => {
      const place = `${file}:${i + 1}`;
      if (line.startsWith("```")) {
        isBlock = !isBlock;
        return [];
      }
      if (isBlock || /^ {4}/.test(line)) return [{ place, code: line, isBlock: true }];
      return [...line.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => ({ place, code, isBlock: false }));
    });
}

export const documentedCommands = (): DocumentedCommand[] =>
  documents().flatMap((file) => codeIn(file).flatMap(({ place, code, isBlock }) => commandsIn(code, place, isBlock)));

/** The commands of `lapidary` in a piece of code, without comments and without commands after a pipe. */
export function commandsIn(code: string, place: string, isWhole: boolean): DocumentedCommand[] {
  return code.split(/&&|\|\||[|;]|\$\(/).flatMap((part) => {
    const match = /^\s*(?:\$ )?(?:npx )?lapidary(?: (.*))?$/.exec(part);
    if (match === null) return [];
    // An explanation begins after two or more blanks, or after `#`.
    const text = (match[1] ?? "")
      .replace(/\s+#.*$/, "")
      .replace(/\s{2,}\S.*$/, "")
      .replace(/\s*[>)].*$/, "")
      .trim();
    return [{ place, text: `lapidary ${text}`.trim(), words: wordsOf(text), isWhole }];
  });
}

/** Splits words as a shell does. Includes optional parts in brackets; removes ellipses. */
function wordsOf(text: string): string[] {
  return [...text.replaceAll(/[[\]]/g, "").matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)]
    .map(([, double, single, bare]) => double ?? single ?? bare ?? "")
    .filter((word) => word !== "…" && word !== "...");
}

/** A string that the project may show to a user. */
export interface ShownText {
  readonly place: string;
  /** `X` replaces the values that the program inserts. */
  readonly text: string;
  /** Whether it is the remedy of an error or a warning. */
  readonly isRemedy: boolean;
}

/** Every text in the sources of packages and tools, without tests. */
export function shownTexts(): ShownText[] {
  const sources = readdirSync(join(root, "packages")).map((name) => join(root, "packages", name, "src"));
  const files = [...sources, join(root, "tools")]
    .filter((directory) => existsSync(directory))
    .flatMap((directory) =>
      readdirSync(directory, { recursive: true, encoding: "utf8" })
        .filter((name) => /\.(ts|mjs)$/.test(name) && !/\.test\.(ts|mjs)$/.test(name) && !name.split("/").includes("testing"))
        .map((name) => join(directory, name)),
    )
    .map((path) => ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true));
  const positions = new Map(files.flatMap(remedyParameters));
  return files.flatMap((source) => textsOf(source, positions));
}

/** Functions of a file that take a remedy, with its position among their arguments. */
function remedyParameters(source: ts.SourceFile): [name: string, position: number][] {
  const found: [string, number][] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node)) {
      const at = node.parameters.findIndex(({ name }) => name.getText() === "remedy");
      const { parent } = node;
      const name = node.name ?? (ts.isVariableDeclaration(parent) ? parent.name : undefined);
      if (at >= 0 && name !== undefined) found.push([name.getText(), at]);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function textsOf(source: ts.SourceFile, positions: ReadonlyMap<string, number>): ShownText[] {
  const found: ShownText[] = [];
  const visit = (node: ts.Node, isRemedy: boolean): void => {
    const text = textOf(node);
    if (text !== undefined) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      found.push({ place: `${relative(root, source.fileName)}:${line + 1}`, text, isRemedy });
    }
    const names = ts.isPropertyAssignment(node) || ts.isVariableDeclaration(node) || ts.isParameter(node);
    const at = ts.isCallExpression(node) ? positions.get(node.expression.getText().split(".").at(-1) ?? "") : undefined;
    const argument = at === undefined || !ts.isCallExpression(node) ? undefined : node.arguments[at];
    ts.forEachChild(node, (child) => visit(child, isRemedy || (names && node.name.getText() === "remedy") || child === argument));
  };
  visit(source, false);
  return found;
}

function textOf(node: ts.Node): string | undefined {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text;
  if (ts.isTemplateExpression(node)) return node.head.text + node.templateSpans.map(({ literal }) => `X${literal.text}`).join("");
  return undefined;
}
