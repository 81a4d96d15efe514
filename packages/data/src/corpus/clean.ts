/**
 * What of a package's files is worth learning from: prose and code that people wrote, laid out as they lay it out. What
 * tools wrote (bundles, down-levelled code, tables of data) is left out whole; what surrounds the text (badges, licence
 * headers, source maps) is taken off.
 */

export type Kind = "prose" | "declarations" | "code";

/** Either the text that stays of a file, or why nothing does. */
export type Cleaned = { readonly text: string } | { readonly leftOut: string };

/** A text shorter than this teaches nothing; a declaration that short only repeats the name of its file. */
const leastCharacters: Readonly<Record<Kind, number>> = { prose: 250, declarations: 450, code: 450 };
/** A document is cut at a paragraph near this length, lest one file outweigh a package. */
const mostCharacters = 48_000;

/** The kind of a file by its path inside a package; undefined for what is not read. */
export function kindOf(path: string): Kind | undefined {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  if (/^(change|history|releas|author|contributor|sponsor|third|backers|ecosystem)/.test(name)) return undefined;
  if (/^readme[.-][a-z]{2}([-_][a-z]{2,4})?\./.test(name)) return undefined; // a translation
  if (/\.(test|spec|min|umd|bundle|bundled|prod|production)\.|^(test|tests)\.|-lock\.|^bundle\./.test(name)) return undefined;
  if (/\.d\.[cm]?ts$/.test(name)) return "declarations";
  if (/\.(md|markdown)$/.test(name) || /^(licen[cs]e|copying|notice|readme)(\.txt|-[a-z0-9]+)?$/.test(name)) return "prose";
  if (/\.[cm]?[jt]s$/.test(name)) return "code";
  return undefined;
}

/** Whether a directory of a package is worth entering. */
export function isWorthEntering(directory: string): boolean {
  return !/(^|\/)(test|tests|__tests__|fixtures|locales?|umd|cjs|es5|vendor|third_party|deps|build|generated)$/i.test(directory);
}

/** @param raw the file's text */
export function clean(raw: string, kind: Kind): Cleaned {
  const tidy = tidied(raw);
  const text = cutToLength(kind === "prose" ? cleanProse(tidy) : cleanCode(tidy), mostCharacters);
  if (text.length < leastCharacters[kind]) return { leftOut: "too short" };
  const reason = kind === "prose" ? whyNotProse(text) : whyNotCode(text);
  return reason === undefined ? { text } : { leftOut: reason };
}

/** One kind of line end, none of the blanks before it, no runs of empty lines. */
function tidied(raw: string): string {
  return `${raw
    .replace(/\r\n?/g, "\n")
    .replace(/(?<![ \t\v\f\u00a0])[ \t\v\f\u00a0]+$/gm, "") // linear: no match starts inside a run of blanks
    .replace(/\n{3,}/g, "\n\n")
    .trim()}\n`;
}

function cleanProse(text: string): string {
  const kept = text
    .replace(/<!--[\s\S]*?-->/g, "")
    .replace(/\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)/g, "") // a badge that is a link
    .replace(/\[!\[[^\]]*\]\[[^\]]*\]\](\[[^\]]*\]|\([^)]*\))/g, "")
    .replace(/!\[[^\]]*\](\([^)]*\)|\[[^\]]*\])/g, "")
    .split("\n")
    .filter((line) => !isFurniture(line))
    .join("\n");
  return tidied(kept);
}

/** Lines of Markdown that show no text: link definitions, bare HTML, lines that are mostly address. */
function isFurniture(line: string): boolean {
  const trimmed = line.trim();
  if (trimmed === "") return false;
  if (/^\[[^\]]+\]:\s/.test(trimmed)) return true;
  if (/^(<[^>]*>\s*)+$/.test(trimmed) || /^<\/?(a|img|p|div|br|td|tr|th|table|sup|h\d|picture|source|details|summary)\b/i.test(trimmed))
    return true;
  if (trimmed.length > 600) return true;
  const withoutAddresses = trimmed.replace(/\(?(https?:\/\/|#)[^\s)]+\)?/g, "");
  return withoutAddresses.length < trimmed.length * 0.4;
}

function cleanCode(text: string): string {
  return tidied(
    text
      .replace(/^#!.*\n/, "")
      .replace(/^\/\/\/ *<(amd-module|reference).*\n/gm, "")
      .replace(/^\s*(\/\*(?:(?!\*\/)[\s\S])*?(licen[cs]e|copyright)(?:(?!\*\/)[\s\S])*?\*\/\s*)+/i, "")
      .replace(/^(\/\/.*(licen[cs]e|copyright).*\n(\/\/.*\n)*)/i, "")
      .replace(/^\/\/[#@] source(Mapping)?URL=.*$/gm, "")
      .replace(/^\/\/#(end)?region.*\n/gm, "")
      .replace(/^(["'])use strict\1;?\n/gm, ""),
  );
}

function whyNotProse(text: string): string | undefined {
  const shares = characterShares(text);
  if (shares.foreign > 0.05) return "not English";
  if (shares.letters < 0.6 || shares.digits > 0.08) return "table of data";
  return undefined;
}

function whyNotCode(text: string): string | undefined {
  if (
    /__esModule|__webpack_|webpackBootstrap|_interopRequire|__generator\(|__awaiter\(|__decorate\(|__extends\(|@generated|DO NOT EDIT|createRequire as __/.test(
      text,
    )
  )
    return "written by a tool";
  const lines = text.split("\n").filter((line) => line !== "");
  if (lines.some((line) => line.length > 300)) return "long lines";
  const meanLength = text.length / lines.length;
  if (meanLength > 90) return "long lines";
  if (new Set(lines.filter((line) => line.length > 8)).size < lines.filter((line) => line.length > 8).length * 0.6) return "repeats itself";
  const shares = characterShares(text);
  if (shares.foreign > 0.02) return "not English";
  if (shares.letters < 0.55 || shares.digits > 0.06) return "table of data";
  return undefined;
}

/** Shares of the characters: ASCII letters and blanks, digits, and what is beyond Latin and its punctuation. */
function characterShares(text: string): { letters: number; digits: number; foreign: number } {
  let [letters, digits, foreign] = [0, 0, 0];
  let indentation = 0;
  let atLineStart = true;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x20 && atLineStart) {
      indentation++;
      continue;
    }
    atLineStart = unit === 0x0a;
    const lower = unit | 0x20;
    if ((lower >= 0x61 && lower <= 0x7a) || unit === 0x20 || unit === 0x0a) letters++;
    else if (unit >= 0x30 && unit <= 0x39) digits++;
    else if (unit >= 0x370 && (unit < 0x2000 || unit >= 0x2c00)) foreign++;
  }
  const total = text.length - indentation;
  return { letters: letters / total, digits: digits / total, foreign: foreign / total };
}

/** The text up to the last empty line before `most`, or all of it. */
function cutToLength(text: string, most: number): string {
  if (text.length <= most) return text;
  const at = text.lastIndexOf("\n\n", most);
  const end = at > most / 2 ? at : text.lastIndexOf("\n", most);
  return `${text.slice(0, end > 0 ? end : most)}\n`;
}
