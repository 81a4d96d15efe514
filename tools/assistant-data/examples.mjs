/**
 * Question-answer pairs about Lapidary and the packages that it installs: the data of `configs/pipelines/assistant`.
 *
 *     docs/glossary.md  the command tree  the registry of error codes  the package table  package.json of installed packages
 *          └────────────────────────┬──────────────────────────────────────────────┘
 *     facts, each with several questions ──► train.jsonl: all questions of a fact but one
 *                                        └─► held-out.jsonl: the other question
 *
 * A held-out question asks for a fact in words that training does not have.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** @typedef {{ readonly subset: string, readonly questions: readonly string[], readonly answer: string }} Fact */
/** @typedef {{ readonly messages: readonly { readonly role: string, readonly content: string }[], readonly subset: string }} Example */

/** Longest answer in characters: a row of the quick-start model has 128 tokens. */
const longestAnswer = 160;

/**
 * The rows of all Markdown tables of a text, without their headings.
 *
 * @param {string} text
 * @returns {readonly (readonly string[])[]}
 */
function tableRows(text) {
  return text
    .split("\n")
    .filter((line) => line.startsWith("| ") && !/^\|[-| :]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(" | ")
        .map((cell) => plain(cell.trim())),
    )
    .filter((cells) => cells.every((cell) => cell !== ""));
}

/** @param {string} text Markdown */
const plain = (text) =>
  text
    .replace(/\[([^\]]+)\]\([^)]*\)/g, "$1")
    .replace(/[`*]/g, "")
    .replace(/^\|\s*/, "")
    .replace(/\s*\|$/, "");

/** A sentence: a capital letter first, a full stop last. @param {string} text */
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

/** @param {string} root @returns {readonly Fact[]} */
function glossaryFacts(root) {
  return tableRows(readFileSync(join(root, "docs/glossary.md"), "utf8")).flatMap(([term = "", meaning = "", ...more]) =>
    more.length > 0 || term === "term" || term.length > 40
      ? []
      : [
          {
            subset: "glossary",
            questions: [`What does "${term}" mean?`, `Define ${term}.`, `Explain the term ${term}.`],
            answer: sentence(meaning),
          },
        ],
  );
}

/**
 * @param {{ readonly name: string, readonly summary?: string, readonly commands?: readonly object[] }} tree
 * @param {string} [path]
 * @returns {readonly Fact[]}
 */
function commandFacts(tree, path = tree.name) {
  return (tree.commands ?? []).flatMap((child) => {
    const command = /** @type {typeof tree} */ (child);
    const name = `${path} ${command.name}`;
    const own =
      command.summary === undefined
        ? []
        : [
            {
              subset: "commands",
              questions: [`What does ${name} do?`, `Describe the command ${name}.`, `What is ${name} for?`],
              answer: sentence(command.summary),
            },
          ];
    return [...own, ...commandFacts(command, name)];
  });
}

/** @param {string} root @returns {readonly Fact[]} */
function errorFacts(root) {
  return tableRows(readFileSync(join(root, "docs/errors.md"), "utf8")).flatMap(([code = "", ...cells]) => {
    const questions = [`What does ${code} mean?`, `Explain the error ${code}.`, `Why do I see ${code}?`];
    return code.startsWith("LAP_") ? [{ subset: "errors", questions, answer: sentence(cells.at(-1) ?? "") }] : [];
  });
}

/** @param {string} root @returns {readonly Fact[]} */
function packageFacts(root) {
  const text = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const [, section = ""] = text.split("\n## Packages\n");
  return tableRows(section.split("\n## ")[0] ?? "").flatMap(([layer = "", name = "", contents = ""]) =>
    /^\d+$/.test(layer) && !name.includes(",")
      ? [
          {
            subset: "packages",
            questions: [`What is in the package ${name}?`, `What does the package ${name} contain?`, `Describe packages/${name}.`],
            answer: sentence(contents),
          },
        ]
      : [],
  );
}

/** The descriptions of the packages that package.json names. Their licences allow this: each answer is one sentence. @param {string} root @returns {readonly Fact[]} */
function installedFacts(root) {
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return Object.keys(devDependencies)
    .sort()
    .flatMap((name) => {
      const { description, license } = JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8"));
      if (typeof description !== "string" || typeof license !== "string") return [];
      return [
        {
          subset: "installed",
          questions: [`What is ${name}?`, `What does ${name} do?`, `Describe the npm package ${name}.`],
          answer: `${sentence(plain(description))} Licence: ${license}.`,
        },
      ];
    });
}

/**
 * All examples. The question that is held out rotates, so that each form of a question is in both files.
 *
 * @param {string} root of the project
 * @param {Parameters<typeof commandFacts>[0]} commandTree
 * @returns {{ readonly train: readonly Example[], readonly heldOut: readonly Example[] }}
 */
export function assistantExamples(root, commandTree) {
  const facts = [
    ...glossaryFacts(root),
    ...commandFacts(commandTree),
    ...errorFacts(root),
    ...packageFacts(root),
    ...installedFacts(root),
  ].filter(({ answer }) => answer.length <= longestAnswer);
  /** @type {Example[]} */
  const train = [];
  /** @type {Example[]} */
  const heldOut = [];
  facts.forEach(({ subset, questions, answer }, i) => {
    questions.forEach((question, q) => {
      const messages = [
        { role: "user", content: question },
        { role: "assistant", content: answer },
      ];
      (q === i % questions.length ? heldOut : train).push({ messages, subset });
    });
  });
  return { train, heldOut };
}

/** @param {readonly Example[]} examples */
export const jsonLines = (examples) => examples.map((example) => `${JSON.stringify(example)}\n`).join("");
