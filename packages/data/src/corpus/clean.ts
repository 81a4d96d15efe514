/**
 * Cleans the files of packages. Keeps prose and code that people wrote. Skips files that tools wrote (bundles, down-levelled
 * code, tables of data), and removes badges, licence headers and source maps.
 */

export type Kind = "prose" | "declarations" | "code";

/** The cleaned text of a file, or the reason to skip the file. */
export type Cleaned = { readonly text: string } | { readonly skipped: string };

/** Shorter texts are skipped. A shorter declaration only repeats the name of its file. */
const minCharacters: Readonly<Record<Kind, number>> = { prose: 250, declarations: 450, code: 450 };
/** A longer document is truncated at a paragraph, so that one file does not dominate. */
const maxCharacters = 48_000;

/** The kind of a file by its path inside a package; undefined for files that are not read. */
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

/** Whether to read a directory of a package. */
export function shouldDescend(directory: string): boolean {
  return !/(^|\/)(test|tests|__tests__|fixtures|locales?|umd|cjs|es5|vendor|third_party|deps|build|generated)$/i.test(directory);
}

/** @param raw the file's text */
export function clean(raw: string, kind: Kind): Cleaned {
  const tidy = normalized(raw);
  const text = cutToLength(kind === "prose" ? cleanProse(tidy) : cleanCode(tidy), maxCharacters);
  if (text.length < minCharacters[kind]) return { skipped: "too short" };
  const reason = kind === "prose" ? proseRejection(text) : codeRejection(text);
  return reason === undefined ? { text } : { skipped: reason };
}

/** Normalizes line ends, and removes trailing blanks and runs of empty lines. */
function normalized(raw: string): string {
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
    .filter((line) => !isBoilerplate(line))
    .join("\n");
  return normalized(kept);
}

/** Lines of Markdown without text: link definitions, HTML tags, lines that are mostly URLs. */
function isBoilerplate(line: string): boolean {
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
  return normalized(
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

function proseRejection(text: string): string | undefined {
  const shares = characterShares(text);
  if (shares.foreign > 0.05) return "not English";
  if (shares.letters < 0.6 || shares.digits > 0.08) return "table of data";
  return undefined;
}

function codeRejection(text: string): string | undefined {
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

/** Fractions of the characters: ASCII letters and blanks, digits, and characters outside Latin and punctuation. */
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

/** The text up to the last empty line before `maxLength`, or the whole text if it is shorter. */
function cutToLength(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  const at = text.lastIndexOf("\n\n", maxLength);
  const end = at > maxLength / 2 ? at : text.lastIndexOf("\n", maxLength);
  return `${text.slice(0, end > 0 ? end : maxLength)}\n`;
}
