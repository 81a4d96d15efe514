/** Rules of this project for markdownlint, which loads them as the default export (`.markdownlint-cli2.jsonc`). */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** @typedef {import("markdownlint").Rule} Rule */
/** @typedef {import("markdownlint").MicromarkToken} Token */

const maxLines = 5;

/** @type {Rule} */
export const paragraphLength = {
  names: ["paragraph-length"],
  description: `A paragraph has at most ${maxLines} lines`,
  tags: ["paragraph"],
  parser: "micromark",
  function: ({ parsers }, onError) => {
    for (const { startLine, endLine } of tokensOf("paragraph", parsers.micromark.tokens)) {
      const lines = endLine - startLine + 1;
      if (lines > maxLines) onError({ lineNumber: startLine, detail: `${lines} lines: split it, or use a table` });
    }
  },
};

/** @type {Rule} */
export const linkedFiles = {
  names: ["linked-files"],
  description: "A relative link leads to an existing file",
  tags: ["links"],
  parser: "micromark",
  function: ({ name, parsers }, onError) => {
    for (const { startLine, text } of tokensOf("resourceDestinationString", parsers.micromark.tokens)) {
      const path = text.replace(/#.*$/, "");
      if (path === "" || /^[a-z]+:/.test(path)) continue;
      if (!existsSync(resolve(dirname(name), decodeURI(path)))) onError({ lineNumber: startLine, detail: `there is no ${path}` });
    }
  },
};

/**
 * All tokens of a type, also those inside other tokens.
 * @param {string} type
 * @param {readonly Token[]} tokens
 * @returns {readonly Token[]}
 */
const tokensOf = (type, tokens) => tokens.flatMap((token) => (token.type === type ? [token] : tokensOf(type, token.children)));

export default [paragraphLength, linkedFiles];
