import { readTags, type TagHandler } from "./tags.js";
import { type Zone, zoneOf } from "./zones.js";

/** A stretch of text that no element for a paragraph, an item or a row divides. */
export interface Block {
  readonly kind: "text" | "heading" | "item" | "row" | "pre";
  readonly text: string;
  /** Characters inside of links. */
  readonly linkCharacters: number;
  readonly zone: Zone;
  /** Whether only a line break is between this block and the one before it. */
  readonly isNextLine: boolean;
}

/** Tags that divide text. */
const blockTags: ReadonlySet<string> = new Set(
  "html body main article section nav aside header footer div p ul ol li dl dt dd table thead tbody tfoot tr td th caption h1 h2 h3 h4 h5 h6 pre blockquote figure figcaption form fieldset address details summary hr center menu dialog".split(
    " ",
  ),
);
const voidTags: ReadonlySet<string> = new Set("area base br col embed hr img input link meta param source track wbr".split(" "));
/** An element of the first name ends one of the same kind that is open, unless one of the others is between them. */
const impliedEnds: Readonly<Record<string, { readonly ends: readonly string[]; readonly within: readonly string[] }>> = {
  li: { ends: ["li"], within: ["ul", "ol", "menu"] },
  dt: { ends: ["dt", "dd"], within: ["dl"] },
  dd: { ends: ["dt", "dd"], within: ["dl"] },
  td: { ends: ["td", "th"], within: ["tr", "table"] },
  th: { ends: ["td", "th"], within: ["tr", "table"] },
  tr: { ends: ["tr"], within: ["table"] },
};
/** Elements deeper than this count as text of the deepest one. */
const maxDepth = 512;
/** A row with a longer cell lays out the page. */
const maxCellLength = 200;
const maxRowCells = 1000;

interface OpenElement {
  readonly tag: string;
  readonly zone: Zone;
}

/** The blocks of a page in order. Takes time and memory in proportion to the page. */
export function readBlocks(html: string): Block[] {
  const collector = new BlockCollector();
  readTags(html, collector);
  return collector.finish();
}

class BlockCollector implements TagHandler {
  readonly #blocks: Block[] = [];
  readonly #stack: OpenElement[] = [];
  /** How many elements of a name are open. */
  readonly #open = new Map<string, number>();
  /** The depth at which a link is open. */
  #linkDepth: number | undefined;
  #tooDeep = 0;
  /** Cells of a row, or one text. Each is a list of parts. */
  #cells: string[][] = [[]];
  #linkCharacters = 0;
  #zone: Zone = "plain";
  #kind: Block["kind"] = "text";
  #isRow = false;
  #isNextLine = false;

  open(tag: string, attributes: ReadonlyMap<string, string>): void {
    if (tag === "br") {
      this.#break(true);
      return;
    }
    this.#endImplied(tag);
    if (blockTags.has(tag)) this.#startBlock(tag);
    if (voidTags.has(tag)) return;
    if (this.#stack.length >= maxDepth) {
      this.#tooDeep++;
      return;
    }
    const outer = this.#outer();
    const zone = zoneOf(tag, attributes, outer);
    if (tag === "a") this.#linkDepth = this.#stack.length;
    // Most elements inside of a line change nothing.
    if (blockTags.has(tag) || tag === "a" || zone !== outer) this.#push({ tag, zone });
  }

  close(tag: string): void {
    if (tag === "br") this.#break(true);
    if (blockTags.has(tag) && !(this.#isRow && (tag === "td" || tag === "th"))) this.#break(false);
    const at = this.#findOpen(tag);
    if (at === undefined) {
      if (this.#tooDeep > 0) this.#tooDeep--;
      return;
    }
    this.#closeTo(at);
  }

  text(text: string): void {
    const zone = this.#outer();
    if (zone === "skipped") return;
    const cell = this.#cells[this.#cells.length - 1];
    if (cell === undefined) return;
    if (zone !== this.#zone && !/^\s*$/.test(text)) {
      this.#break(this.#isNextLine);
      this.#zone = zone;
    }
    this.#cells[this.#cells.length - 1]?.push(text);
    if (this.#linkDepth !== undefined) this.#linkCharacters += text.trim().length;
  }

  finish(): Block[] {
    this.#break(false);
    return this.#blocks;
  }

  #outer(): Zone {
    return this.#stack[this.#stack.length - 1]?.zone ?? "plain";
  }

  #startBlock(tag: string): void {
    const isCell = tag === "td" || tag === "th";
    if (isCell && this.#isRow && this.#cells.length < maxRowCells) {
      this.#cells.push([]);
      return;
    }
    this.#break(false);
    this.#isRow = isCell;
    this.#kind = isCell
      ? "row"
      : /^h[1-6]$/.test(tag)
        ? "heading"
        : tag === "li"
          ? "item"
          : tag === "pre"
            ? "pre"
            : this.#kind === "item" && tag === "p"
              ? "item"
              : "text";
  }

  /** Ends the block before the next one. */
  #break(isLine: boolean): void {
    const isPre = this.#kind === "pre";
    if (isPre && isLine) {
      this.#cells[this.#cells.length - 1]?.push("\n");
      return;
    }
    if (this.#cells.length === 1 && this.#cells[0]?.length === 0) {
      this.#startAfterBreak(isLine, false);
      return;
    }
    const texts = this.#cells.map((parts) =>
      isPre
        ? parts
            .join("")
            .replace(/^\r?\n/, "")
            .trimEnd()
        : collapsed(parts.join("")),
    );
    const kept = texts.filter((text) => text.trim() !== "");
    const isTable = kept.every((text) => text.length <= maxCellLength);
    for (const [i, text] of (isTable && kept.length > 0 ? [kept.join("\t")] : kept).entries())
      this.#blocks.push({
        kind: isTable ? this.#kind : "text",
        text,
        linkCharacters: i === 0 ? this.#linkCharacters : 0,
        zone: this.#zone,
        isNextLine: this.#isNextLine && i === 0,
      });
    this.#cells = [[]];
    this.#startAfterBreak(isLine, kept.length > 0);
  }

  #startAfterBreak(isLine: boolean, hasEndedBlock: boolean): void {
    this.#linkCharacters = 0;
    this.#isRow = false;
    this.#zone = this.#outer();
    if (hasEndedBlock) this.#isNextLine = isLine;
    else this.#isNextLine &&= isLine;
    if (!isLine || this.#kind === "row") this.#kind = "text";
  }

  #endImplied(tag: string): void {
    // A paragraph ends where the next block starts.
    if (blockTags.has(tag) && this.#stack[this.#stack.length - 1]?.tag === "p") this.#closeTo(this.#stack.length - 1);
    const implied = impliedEnds[tag];
    if (implied === undefined) return;
    if (implied.ends.every((each) => !this.#open.has(each))) return;
    for (let at = this.#stack.length - 1; at >= 0; at--) {
      const open = this.#stack[at]?.tag ?? "";
      if (implied.within.includes(open)) return;
      if (implied.ends.includes(open)) {
        this.#closeTo(at);
        return;
      }
    }
  }

  /** The innermost open element of a name. The end of an element inside of a line does not end a block. */
  #findOpen(tag: string): number | undefined {
    if (!this.#open.has(tag)) return undefined;
    const isBlock = blockTags.has(tag);
    const within = impliedEnds[tag]?.within ?? [];
    for (let at = this.#stack.length - 1; at >= 0; at--) {
      const open = this.#stack[at]?.tag ?? "";
      if (open === tag) return at;
      if (within.includes(open) || (!isBlock && blockTags.has(open))) return undefined;
    }
    return undefined;
  }

  #push(element: OpenElement): void {
    this.#stack.push(element);
    this.#open.set(element.tag, (this.#open.get(element.tag) ?? 0) + 1);
  }

  #closeTo(depth: number): void {
    for (const { tag } of this.#stack.splice(depth)) {
      const left = (this.#open.get(tag) ?? 1) - 1;
      if (left === 0) this.#open.delete(tag);
      else this.#open.set(tag, left);
    }
    if (this.#linkDepth !== undefined && this.#linkDepth >= depth) this.#linkDepth = undefined;
  }
}

const collapsed = (text: string): string => text.replace(/\s+/g, " ").trim();
