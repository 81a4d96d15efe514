import { z } from "zod";
import type { Pattern } from "./regex.js";

/** The treatment of matches in a split: removed, a separate piece, joined to a neighbour, or joined to adjacent matches. */
export const behaviorSchema = z.enum(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]);
export type SplitBehavior = z.infer<typeof behaviorSchema>;

/** A piece of a text, and whether the pattern matched it. */
interface Span {
  readonly start: number;
  readonly end: number;
  readonly isMatch: boolean;
}

/**
 * Splits a text at the matches of a pattern, as `NormalizedString.split` of `tokenizers` does. No piece is empty.
 *
 * @param invert splits at the text between matches
 */
export function split(text: string, pattern: Pattern, behavior: SplitBehavior, invert = false): string[] {
  const matches = pattern.matches(text);
  if (behavior === "Isolated") return isolated(text, matches);
  const pieces = piecesOf(spansOf(text, matches, invert), behavior);
  return pieces.flatMap(([start, end]) => (start === end ? [] : [text.slice(start, end)]));
}

/** The matches and the texts between them, each separate. */
function isolated(text: string, matches: readonly number[]): string[] {
  const pieces: string[] = [];
  let done = 0;
  for (const at of matches) {
    if (at > done) pieces.push(text.slice(done, at));
    done = at;
  }
  if (done < text.length) pieces.push(text.slice(done));
  return pieces;
}

/** Spans that tile the text. */
function spansOf(text: string, matches: readonly number[], invert: boolean): Span[] {
  const spans: Span[] = [];
  let done = 0;
  for (let i = 0; i < matches.length; i += 2) {
    const [start, end] = [matches[i] ?? done, matches[i + 1] ?? done];
    if (start !== done) spans.push({ start: done, end: start, isMatch: invert });
    spans.push({ start, end, isMatch: !invert });
    done = end;
  }
  if (done !== text.length) spans.push({ start: done, end: text.length, isMatch: invert });
  return spans;
}

type Piece = [start: number, end: number];

function piecesOf(spans: readonly Span[], behavior: Exclude<SplitBehavior, "Isolated">): Piece[] {
  switch (behavior) {
    case "Removed":
      return spans.flatMap(({ start, end, isMatch }): Piece[] => (isMatch ? [] : [[start, end]]));
    case "MergedWithPrevious":
      return joined(spans, (isMatch, wasMatch) => isMatch && !wasMatch);
    case "Contiguous":
      return joined(spans, (isMatch, wasMatch) => isMatch === wasMatch);
    case "MergedWithNext":
      return joined([...spans].reverse(), (isMatch, wasMatch) => isMatch && !wasMatch).reverse();
  }
}

/** @param joins whether a span is joined to the preceding span */
function joined(spans: readonly Span[], joins: (isMatch: boolean, wasMatch: boolean) => boolean): Piece[] {
  const result: Piece[] = [];
  let wasMatch = false;
  for (const { start, end, isMatch } of spans) {
    const last = result.at(-1);
    if (last !== undefined && joins(isMatch, wasMatch)) {
      last[0] = Math.min(last[0], start);
      last[1] = Math.max(last[1], end);
    } else result.push([start, end]);
    wasMatch = isMatch;
  }
  return result;
}
