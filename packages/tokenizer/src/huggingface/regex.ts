import { toRegExp } from "oniguruma-to-es";
import { z } from "zod";
import { unsupportedTokenizer } from "../tokenizer-errors.js";
import { inside, type Location, place } from "./component.js";

/** Finds the matches that a normalizer replaces or at which a pre-tokenizer splits. */
export interface Pattern {
  /** Start and end of each match, in order. Matches do not overlap. */
  readonly matches: (text: string) => readonly number[];
  /** The text with every match replaced by `content`. */
  readonly replace: (text: string, content: string) => string;
}

export const patternSchema = z.union([z.strictObject({ String: z.string() }), z.strictObject({ Regex: z.string() })]);

/**
 * The pattern of a `tokenizer.json`. Its regular expression has the syntax of Oniguruma and is translated to JavaScript.
 *
 * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED` for a regular expression that has no translation
 */
export function patternOf(pattern: z.infer<typeof patternSchema>, at: Location): Pattern {
  if ("String" in pattern) return literalPattern(pattern.String);
  return regexPattern(translated(pattern.Regex, at));
}

function translated(source: string, at: Location): RegExp {
  try {
    return toRegExp(withWordClass(source), { global: true });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw unsupportedTokenizer(place(inside(at, "Regex")), `the regular expression ${JSON.stringify(source)} is not supported: ${reason}`);
  }
}

/** The meaning of `\w` in Oniguruma. The translation library would include all numbers, such as `①`. */
const wordClass = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}`;
const wordEdge = `(?:(?<=[${wordClass}])(?![${wordClass}])|(?<![${wordClass}])(?=[${wordClass}]))`;

/** The regular expression with `\w`, `\W` and, outside of classes, `\b` and `\B` replaced by their definitions. */
function withWordClass(source: string): string {
  let depth = 0;
  return source.replace(/\\.|\[|\]/gsu, (part) => {
    if (part === "[") depth++;
    else if (part === "]") depth = Math.max(0, depth - 1);
    else if (part === "\\w") return `[${wordClass}]`;
    else if (part === "\\W") return `[^${wordClass}]`;
    else if (part === "\\b" && depth === 0) return wordEdge;
    else if (part === "\\B" && depth === 0) return `(?!${wordEdge})`;
    return part;
  });
}

function literalPattern(literal: string): Pattern {
  return {
    matches: (text) => {
      const found: number[] = [];
      for (let at = 0; literal !== "" && (at = text.indexOf(literal, at)) >= 0; at += literal.length) found.push(at, at + literal.length);
      return found;
    },
    replace: (text, content) => (literal === "" ? text : text.replaceAll(literal, () => content)),
  };
}

/** @param regex global */
export function regexPattern(regex: RegExp): Pattern {
  const matches = (text: string): number[] => matchesOf(regex, text);
  return {
    matches,
    replace: (text, content) => {
      const found = matches(text);
      let written = "";
      let end = 0;
      for (let i = 0; i < found.length; i += 2) {
        written += text.slice(end, found[i]) + content;
        end = found[i + 1] ?? end;
      }
      return written + text.slice(end);
    },
  };
}

/** An empty match directly after a match does not count, as in the bindings of Oniguruma that `tokenizers` uses. */
function matchesOf(regex: RegExp, text: string): number[] {
  const found: number[] = [];
  let last = -1;
  regex.lastIndex = 0;
  while (regex.lastIndex <= text.length) {
    const match = regex.exec(text);
    if (match === null) break;
    const [from, to] = [match.index, match.index + match[0].length];
    if (from === to && from === last) regex.lastIndex = to + ((text.codePointAt(to) ?? 0) > 0xffff ? 2 : 1);
    else {
      found.push(from, to);
      regex.lastIndex = last = to;
    }
  }
  return found;
}
