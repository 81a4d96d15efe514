import { eld } from "eld/small";

/** Characters of a text that decide its language. */
const maxCharacters = 4000;

/** The language of a text as ISO 639-1, such as `en`; `und` if it is not reliable. */
export function languageOf(text: string): string {
  const found = eld.detect(text.slice(0, maxCharacters));
  return found.language !== "" && found.isReliable() ? found.language : "und";
}
