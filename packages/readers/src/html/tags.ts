import { Tokenizer, type TokenizerCallbacks } from "htmlparser2";

/** Receives the tags and texts of a page in order. Names are in lower case. */
export interface TagHandler {
  open(name: string, attributes: ReadonlyMap<string, string>): void;
  close(name: string): void;
  text(text: string): void;
}

/** Attributes that say what an element is for. Others are not kept. */
const readAttributes: ReadonlySet<string> = new Set(["class", "id", "role", "hidden", "aria-hidden", "style", "itemprop"]);
const maxValueLength = 500;

/**
 * The tags and texts of a page, in one pass. Takes time and memory in proportion to the page, however its tags are
 * nested: the tokenizer keeps no stack, which the parser of the library searches and shifts at every tag.
 */
export function readTags(html: string, handler: TagHandler): void {
  let tag = "";
  let attribute = "";
  let value = "";
  let attributes = new Map<string, string>();
  // The tokenizer gives a text with many `<` in as many parts, which follow each other.
  let [textStart, textEnd] = [0, 0];
  const flush = (): void => {
    if (textEnd > textStart) handler.text(html.slice(textStart, textEnd));
    textStart = textEnd = 0;
  };
  const opened = (): void => handler.open(tag, attributes);
  const callbacks: TokenizerCallbacks = {
    onopentagname(start, end) {
      flush();
      tag = html.slice(start, end).toLowerCase();
      attributes = new Map();
    },
    onattribname(start, end) {
      attribute = html.slice(start, end).toLowerCase();
      value = "";
    },
    onattribdata(start, end) {
      if (readAttributes.has(attribute) && value.length < maxValueLength) value += html.slice(start, Math.min(end, start + maxValueLength));
    },
    onattribentity: ignore,
    onattribend() {
      if (readAttributes.has(attribute) && !attributes.has(attribute)) attributes.set(attribute, value.toLowerCase());
    },
    onopentagend: opened,
    onselfclosingtag: opened,
    onclosetag(start, end) {
      flush();
      handler.close(html.slice(start, end).toLowerCase());
    },
    ontext(start, end) {
      if (start !== textEnd) flush();
      if (textStart === textEnd) textStart = start;
      textEnd = end;
    },
    ontextentity(codePoint) {
      flush();
      handler.text(String.fromCodePoint(codePoint));
    },
    oncdata: ignore,
    oncomment: ignore,
    ondeclaration: ignore,
    onprocessinginstruction: ignore,
    onend: flush,
  };
  const tokenizer = new Tokenizer({ decodeEntities: true }, callbacks);
  tokenizer.write(html);
  tokenizer.end();
}

const ignore = (): void => undefined;
