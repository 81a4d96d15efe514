interface Spelled {
  /** The bytes of the character. */
  readonly length: number;
  /** Undefined if the bytes are not a character of UTF-8. */
  readonly character: string | undefined;
  /** Whether the bytes are the start of a character. */
  readonly needsMore: boolean;
}

/** Bytes of each character by its first byte, and the smallest code point of that length. */
const forms = [
  { mask: 0x80, lead: 0x00, length: 1, smallest: 0 },
  { mask: 0xe0, lead: 0xc0, length: 2, smallest: 0x80 },
  { mask: 0xf0, lead: 0xe0, length: 3, smallest: 0x800 },
  { mask: 0xf8, lead: 0xf0, length: 4, smallest: 0x10000 },
];
const broken: Spelled = { length: 1, character: undefined, needsMore: false };

/** The character of UTF-8 at `at`, by the rules of `DecodeUTF8` of SentencePiece. */
export function spelled(bytes: readonly number[], at: number): Spelled {
  const first = bytes[at] ?? 0;
  const form = forms.find(({ mask, lead }) => (first & mask) === lead);
  if (form === undefined) return broken;
  let codePoint = form.length === 1 ? first : first & (0x7f >> form.length);
  for (let i = 1; i < form.length; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return { ...broken, needsMore: true };
    if ((byte & 0xc0) !== 0x80) return broken;
    codePoint = (codePoint << 6) | (byte & 0x3f);
  }
  const isValid = codePoint >= form.smallest && codePoint <= 0x10ffff && (codePoint < 0xd800 || codePoint > 0xdfff);
  return isValid ? { length: form.length, character: String.fromCodePoint(codePoint), needsMore: false } : broken;
}
