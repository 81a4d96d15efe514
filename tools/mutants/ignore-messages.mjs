/**
 * A plugin of StrykerJS: no mutants in code whose change a test cannot or should not notice.
 *
 * - The texts that explain a broken invariant or an error: a test of each text would copy the text. The condition of an assertion and the
 *   code of an error are mutated as all other code is.
 * - The empty default of an element, `dims[d] ?? []`: the type checker requires it, because the type of an element includes undefined, and
 *   the index is always valid. The default of a variable or a field, `options.names ?? []`, is mutated.
 */

const assertions = new Set(["assert", "ensure", "assertNever"]);

/** @typedef {{ type: string, callee?: { type: string, name?: string }, arguments?: unknown[], operator?: string, elements?: unknown[],
 *   computed?: boolean, left?: Node }} Node
 * @typedef {{ node: Node, parentPath: NodePath | null, listKey?: string, key?: string | number }} NodePath */

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

/** @param {NodePath} path an empty list after `??` */
function defaultOfElement({ node, parentPath, key }) {
  const parent = parentPath?.node;
  if (parent?.type !== "LogicalExpression" || parent.operator !== "??" || key !== "right") return undefined;
  const isEmpty = node.type === "ArrayExpression" && node.elements?.length === 0;
  const { left } = parent;
  const isElement = (left?.type === "MemberExpression" || left?.type === "OptionalMemberExpression") && left.computed === true;
  return isEmpty && isElement ? "the default of an element that exists" : undefined;
}

/** @param {NodePath["node"]} node */
const isText = (node) => node.type === "StringLiteral" || node.type === "TemplateLiteral";

export const strykerPlugins = [
  {
    kind: "Ignore",
    name: "messages",
    value: { shouldIgnore: (/** @type {NodePath} */ path) => messageOf(path) ?? defaultOfElement(path) },
  },
];
