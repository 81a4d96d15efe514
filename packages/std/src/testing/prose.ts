import { seededRandom } from "../random.js";

const words =
  "the a red old small river stone house runs falls over under between light water bird song winter summer walks sees with and never always quietly".split(
    " ",
  );

/** Sentences of random words: prose whose eight-word sequences differ between seeds. */
export function prose(seed: number, sentences: number): string {
  const random = seededRandom(seed);
  const word = (): string => words[random.integer(words.length)] ?? "the";
  const sentence = (): string => `${Array.from({ length: 6 + random.integer(8) }, word).join(" ")}.`;
  return Array.from({ length: sentences }, (_, i) => sentence() + (i % 4 === 3 ? "\n\n" : " ")).join("");
}
