/**
 * A plugin of StrykerJS: no mutants in the texts that explain a broken invariant or an error. A test of each text would copy the text.
 * The condition of an assertion and the code of an error are mutated as all other code is.
 */

const assertions = new Set(["assert", "ensure", "assertNever"]);

/** @typedef {{ node: { type: string, callee?: { type: string, name?: string }, arguments?: unknown[] }, parentPath: NodePath | null, listKey?: string, key?: string | number }} NodePath */

/** @param {NodePath} path the text, or an expression inside it */
function messageOf(path) {
  for (let at = path; at.parentPath !== null; at = at.parentPath) {
    const { node } = at.parentPath;
    if (at.listKey !== "arguments" || node.callee?.type !== "Identifier") continue;
    const name = node.callee.name ?? "";
    if (node.type === "CallExpression" && assertions.has(name) && Number(at.key) >= 1) return `the message of ${name}`;
    if (node.type === "NewExpression" && name.endsWith("Error") && isText(at.node)) return `the text of ${name}`;
  }
  return undefined;
}

/** @param {NodePath["node"]} node */
const isText = (node) => node.type === "StringLiteral" || node.type === "TemplateLiteral";

export const strykerPlugins = [{ kind: "Ignore", name: "messages", value: { shouldIgnore: messageOf } }];
