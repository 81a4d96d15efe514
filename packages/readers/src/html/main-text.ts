import { type Block, readBlocks } from "./blocks.js";

/** Part of the words of a page that must be in its elements for the main text, so that they are taken for it. */
const minMainShare = 0.4;
/** If the text beside the main text has this many times its words, the page is a discussion. */
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

/**
 * The text that a reader came for, in paragraphs: without navigation, advertisements, notices and comments. Lists have
 * `- `, cells of a row have tabs between them, and code keeps its lines. The empty string if there is none.
 *
 * Blocks with sentences and few links are text. A short block is text if its neighbours are (as jusText does, Pomikálek 2011).
 * Takes time and memory in proportion to the page.
 */
export function mainText(html: string): string {
  const blocks = readBlocks(html);
  const inPage = blocks.filter(({ zone }) => zone === "main" || zone === "plain");
  const beside = blocks.filter(({ zone }) => zone !== "frame");
  const isDiscussion = goodWords(beside) > (1 + discussionFactor) * goodWords(inPage);
  return written(chosen(isDiscussion ? beside : inPage, blocks));
}

/** @param candidates the blocks that may be text; @param all in order, of which the others end a text */
function chosen(candidates: readonly Block[], all: readonly Block[]): Block[] {
  const main = candidates.filter(({ zone }) => zone === "main");
  const isMarked = goodWords(main) >= minMainShare * goodWords(candidates) && goodWords(main) > 0;
  const allowed = new Set(isMarked ? main : candidates);
  const verdicts = all.map((block) => (allowed.has(block) ? verdictOf(block) : "bad"));
  if (!verdicts.includes("good")) return all.filter((_, i) => verdicts[i] === "short");
  const [before, after] = [nearest(verdicts, 1), nearest(verdicts, -1)];
  return all.filter((block, i) => {
    if (verdicts[i] !== "short") return verdicts[i] === "good";
    const [left, right] = [before[i] === "good", after[i] === "good"];
    if (left && right) return true;
    if (block.kind === "heading") return right;
    if (isMarked) return left || right;
    return sentenceEnd.test(block.text) && (verdicts[i - 1] === "good" || verdicts[i + 1] === "good");
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

function verdictOf(block: Block): Verdict {
  const { kind, text, linkCharacters } = block;
  const links = linkCharacters / Math.max(1, text.length);
  const words = wordCount(text);
  if (words < maxNoticeWords && kind !== "pre" && notice.test(text)) return "bad";
  if (links > minFrameLinkShare && kind !== "heading") return "bad";
  if (kind === "pre") return "good";
  if (kind === "heading" || links > maxLinkShare) return "short";
  return words >= minGoodWords || (words >= minSentenceWords && sentenceEnd.test(text)) ? "good" : "short";
}

const goodWords = (blocks: readonly Block[]): number =>
  blocks.reduce((sum, block) => sum + (verdictOf(block) === "good" ? wordCount(block.text) : 0), 0);

/** Words between blanks. Scripts without blanks count two characters as a word. */
function wordCount(text: string): number {
  const dense = text.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/gu)?.length ?? 0;
  return (text.match(/\S+/g)?.length ?? 0) + Math.floor(dense / 2);
}

function written(blocks: readonly Block[]): string {
  let text = "";
  let last: Block | undefined;
  for (const block of blocks) {
    const isJoined =
      block.isNextLine || (last !== undefined && last.kind === block.kind && (block.kind === "item" || block.kind === "row"));
    text += last === undefined ? "" : isJoined ? "\n" : "\n\n";
    text += block.kind === "item" ? `- ${block.text}` : block.text;
    last = block;
  }
  return text;
}
