import { CharacterClass, classAt, maxSegmentLength } from "./characters.js";

/**
 * Splits a text into the segments inside which byte pairs may merge, and calls `onSegment(start, end)` for each, in order. The
 * segments tile the text: no character is dropped or normalized.
 *
 *     "    return 42;\n"   →   "   " · " return" · " " · "4" · "2" · ";" · "\n"
 *
 * One space belongs to the word or the symbols after it, as in SentencePiece (`▁return`). The rest of a run of
 * whitespace, line ends and indentation together, is a separate segment. Every digit is a separate segment.
 *
 * @param text any string, lone surrogates included
 */
export function forEachSegment(text: string, onSegment: (start: number, end: number) => void): void {
  const length = text.length;
  let at = 0;
  while (at < length) {
    const end = segmentEnd(text, at);
    onSegment(at, end);
    at = end;
  }
}

function segmentEnd(text: string, start: number): number {
  const first = classAt(text, start);
  if (first === CharacterClass.digit) return start + 1;
  if (first !== CharacterClass.whitespace) return runEnd(text, start, first);
  if (text.charCodeAt(start) === 0x20 && start + 1 < text.length) {
    const next = classAt(text, start + 1);
    if (next === CharacterClass.letter || next === CharacterClass.symbol) return runEnd(text, start + 1, next);
  }
  // One character more than a segment may have: the space after the segment may belong to the next word.
  const limit = Math.min(text.length, start + maxSegmentLength + 1);
  let end = start + 1;
  while (end < limit && classAt(text, end) === CharacterClass.whitespace) end++;
  if (end > start + 1 && end < text.length && text.charCodeAt(end - 1) === 0x20) {
    const next = classAt(text, end);
    if (next === CharacterClass.letter || next === CharacterClass.symbol) return end - 1;
  }
  return Math.min(end, start + maxSegmentLength);
}

function runEnd(text: string, start: number, kind: CharacterClass): number {
  let end = start;
  for (let count = 0; count < maxSegmentLength && end < text.length && classAt(text, end) === kind; count++)
    end += isPair(text, end) ? 2 : 1;
  return end;
}

function isPair(text: string, index: number): boolean {
  const high = text.charCodeAt(index);
  if (high < 0xd800 || high > 0xdbff) return false;
  const low = text.charCodeAt(index + 1);
  return low >= 0xdc00 && low <= 0xdfff;
}
