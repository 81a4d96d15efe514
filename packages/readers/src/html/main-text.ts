import { type Block, readBlocks } from "./blocks.js";

/** Part of the words of a page that must be in its elements for the main text, so that they are taken for it. */
const minMainShare = 0.4;
/** If the text of secondary elements has this many times its words, the page is a discussion. */
const discussionFactor = 2;
const minGoodWords = 12;
const minSentenceWords = 6;
const maxLinkShare = 0.34;
const minFrameLinkShare = 0.5;
/** Notices are short. A paragraph may mention a cookie. */
const maxNoticeWords = 30;
const notice =
  /©|\(c\) ?\d{4}|all rights reserved|privacy policy|terms of (use|service)|cookie (settings|policy|preferences)|(use|uses|using|accept|our) cookies|sign up for|subscribe (now|to)|follow us|share (this|on)|back to top|skip to (main )?content|read more|advertisement/i;
const sentenceEnd = /[.!?…。！？:;]["'”’)\]]*$/u;

type Verdict = "good" | "bad" | "short";

/** A block with what it says by itself. */
interface RatedBlock extends Block {
  readonly words: number;
  readonly verdict: Verdict;
}

/**
 * The text that a reader came for, in paragraphs: without navigation, advertisements, notices and comments. Lists have
 * `- `, cells of a row have tabs between them, and code keeps its lines. The empty string if there is none.
 *
 * Blocks with sentences and few links are text. A short block is text if its neighbours are (as jusText does, Pomikálek 2011).
 * Takes time and memory in proportion to the page.
 */
export function mainText(html: string): string {
  const blocks = readBlocks(html).map(rated);
  const inPage = blocks.filter(({ zone }) => zone === "main" || zone === "plain");
  const secondary = blocks.filter(({ zone }) => zone !== "frame");
  const isDiscussion = goodWords(secondary) > (1 + discussionFactor) * goodWords(inPage);
  return written(chosen(isDiscussion ? secondary : inPage, blocks));
}

/** @param candidates the blocks that may be text; @param all in order, of which the others end a text */
function chosen(candidates: readonly RatedBlock[], all: readonly RatedBlock[]): Block[] {
  const main = candidates.filter(({ zone }) => zone === "main");
  const isMarked = goodWords(main) >= minMainShare * goodWords(candidates) && goodWords(main) > 0;
  const allowed = new Set(isMarked ? main : candidates);
  const verdicts = all.map((block) => (allowed.has(block) ? block.verdict : "bad"));
  if (!verdicts.includes("good")) return all.filter((_, i) => verdicts[i] === "short");
  const [before, after] = [nearest(verdicts, 1), nearest(verdicts, -1)];
  return all.filter((block, i) => {
    if (verdicts[i] !== "short") return verdicts[i] === "good";
    const [left, right] = [before[i] === "good", after[i] === "good"];
    if (left && right) return true;
    if (block.kind === "heading") return right;
    if (isMarked) return left || right;
    return endsSentence(block.text) && (verdicts[i - 1] === "good" || verdicts[i + 1] === "good");
  });
}

/** For each block the verdict of the nearest one before it (or after it, with the step −1) that is not short. */
function nearest(verdicts: readonly Verdict[], step: 1 | -1): Verdict[] {
  const found: Verdict[] = new Array<Verdict>(verdicts.length).fill("bad");
  let last: Verdict = "bad";
  for (let n = 0; n < verdicts.length; n++) {
    const i = step === 1 ? n : verdicts.length - 1 - n;
    found[i] = last;
    const verdict = verdicts[i];
    if (verdict !== undefined && verdict !== "short") last = verdict;
  }
  return found;
}

function rated(block: Block): RatedBlock {
  const words = countWords(block.text);
  return { ...block, words, verdict: verdictOf(block, words) };
}

function verdictOf({ kind, text, linkCharacters }: Block, words: number): Verdict {
  const links = linkCharacters / Math.max(1, text.length);
  if (words < maxNoticeWords && kind !== "pre" && notice.test(text)) return "bad";
  if (links > minFrameLinkShare && kind !== "heading") return "bad";
  if (kind === "pre") return "good";
  if (kind === "heading" || links > maxLinkShare) return "short";
  return words >= minGoodWords || (words >= minSentenceWords && endsSentence(text)) ? "good" : "short";
}

const endsSentence = (text: string): boolean => sentenceEnd.test(text.slice(-20));

const goodWords = (blocks: readonly RatedBlock[]): number =>
  blocks.reduce((sum, { verdict, words }) => sum + (verdict === "good" ? words : 0), 0);

/** Words between blanks. Scripts without blanks (Thai, Japanese, Chinese) count two characters as a word. */
function countWords(text: string): number {
  let [words, dense, isInWord] = [0, 0, false];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const isBlank = code <= 0x20 || code === 0xa0;
    if (!isBlank && !isInWord) words++;
    isInWord = !isBlank;
    if (code >= 0x0e00 && (code < 0x0e80 || (code >= 0x3040 && code < 0x3100) || (code >= 0x3400 && code < 0xa000))) dense++;
  }
  return words + Math.floor(dense / 2);
}

function written(blocks: readonly Block[]): string {
  const parts: string[] = [];
  let last: Block | undefined;
  for (const block of blocks) {
    const isJoined =
      block.isNextLine || (last !== undefined && last.kind === block.kind && (block.kind === "item" || block.kind === "row"));
    if (last !== undefined) parts.push(isJoined ? "\n" : "\n\n");
    parts.push(block.kind === "item" ? `- ${block.text}` : block.text);
    last = block;
  }
  return parts.join("");
}
