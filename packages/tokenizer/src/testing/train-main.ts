/**
 * Trains a tokenizer on a made-up text, in which the word of rank r occurs in proportion to 1 / r, as in natural text.
 * Arguments: number of pieces, megabytes of text, number of different words. Prints the number of pieces that the text fills and the peak memory of the process.
 */
import { seededRandom } from "@lapidary/std";
import { SentencePieceTrainer } from "../sentencepiece/training/train-sentencepiece.js";

const [pieces = "0", megabytes = "0", words = "0"] = process.argv.slice(2);
const random = seededRandom(1);
const syllables = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "sh", "tr"].flatMap((begin) =>
  ["a", "e", "i", "o", "u", "an", "er", "is"].map((end) => begin + end),
);

function wordOf(rank: number): string {
  let word = "";
  for (let rest = rank; rest > 0; rest = Math.floor(rest / syllables.length)) word += syllables[rest % syllables.length] ?? "";
  return word;
}

const logWords = Math.log(Number(words));
const wordsOfText = 2000;

function train(trainer: SentencePieceTrainer): number {
  for (let bytes = 0; bytes < Number(megabytes) * 1e6; ) {
    const text = Array.from({ length: wordsOfText }, () => wordOf(Math.floor(Math.exp(random.next() * logWords)))).join(" ");
    trainer.add(text);
    bytes += text.length;
  }
  const { pieces: all } = trainer.train().tokenizer.model;
  return all.filter(({ text }) => !/^<unused\d+>$/.test(text)).length;
}

const trainer = new SentencePieceTrainer({ vocabSize: Number(pieces) });
try {
  process.stdout.write(`${JSON.stringify({ pieces: train(trainer), rss_mb: process.resourceUsage().maxRSS / 1000 })}\n`);
} finally {
  trainer.close();
}
