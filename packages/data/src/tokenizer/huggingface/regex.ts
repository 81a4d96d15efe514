import { toRegExp } from "oniguruma-to-es";
import { z } from "zod";
import { unsupportedTokenizer } from "../../data-errors.js";
import { inside, type Location, place } from "./component.js";

/** Finds what a normalizer replaces or a pre-tokenizer splits at. */
export interface Pattern {
  /** Start and end of each match, one after the other; they do not overlap. */
  readonly matches: (text: string) => readonly number[];
  /** The text with `content` for every match. */
  readonly replace: (text: string, content: string) => string;
}

export const patternSchema = z.union([z.strictObject({ String: z.string() }), z.strictObject({ Regex: z.string() })]);

/**
 * The pattern of a `tokenizer.json`. `tokenizers` matches it with Oniguruma, so that it is translated to a regular expression of JavaScript.
 *
 * @throws LapidaryError `LAP_TOKENIZER_UNSUPPORTED` for a regular expression that has no translation
 */
export function patternOf(pattern: z.infer<typeof patternSchema>, at: Location): Pattern {
  if ("String" in pattern) return literalPattern(pattern.String);
  return regexPattern(translated(pattern.Regex, at));
}

function translated(source: string, at: Location): RegExp {
  try {
    return toRegExp(source, { global: true });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw unsupportedTokenizer(place(inside(at, "Regex")), `the regular expression ${JSON.stringify(source)} is not supported: ${reason}`);
  }
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

/** An empty match right after a match does not count, as in the bindings of Oniguruma that `tokenizers` uses. */
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
