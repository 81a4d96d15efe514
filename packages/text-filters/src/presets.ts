import { duplicateSizes, topSizes } from "./repetition.js";
import type { Preset, Rule } from "./rules.js";

const topLimits: Readonly<Record<(typeof topSizes)[number], number>> = { 2: 0.2, 3: 0.18, 4: 0.16 };
const duplicateLimits: Readonly<Record<(typeof duplicateSizes)[number], number>> = { 5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1 };

const c4Quality: Preset = {
  name: "c4_quality",
  source: "C4: JMLR 21/20-074",
  rules: [
    { reason: "lorem_ipsum", measure: "c4.lorem_ipsum", above: 0 },
    { reason: "curly_bracket", measure: "c4.curly_bracket", above: 0 },
    { reason: "too_few_sentences", measure: "c4.sentences", below: 5 },
  ],
};

const gopherQuality: Preset = {
  name: "gopher_quality",
  source: "Gopher: arXiv 2112.11446, A1.1",
  rules: [
    { reason: "gopher_short_doc", measure: "gopher.words", below: 50 },
    { reason: "gopher_long_doc", measure: "gopher.words", above: 100_000 },
    { reason: "gopher_below_avg_threshold", measure: "gopher.word_length", below: 3 },
    { reason: "gopher_above_avg_threshold", measure: "gopher.word_length", above: 10 },
    { reason: "gopher_too_many_hashes", measure: "gopher.hashes", above: 0.1 },
    { reason: "gopher_too_many_ellipsis", measure: "gopher.ellipses", above: 0.1 },
    { reason: "gopher_too_many_bullets", measure: "gopher.bullet_lines", above: 0.9 },
    { reason: "gopher_too_many_end_ellipsis", measure: "gopher.ellipsis_lines", above: 0.3 },
    { reason: "gopher_below_alpha_threshold", measure: "gopher.alphabetic", below: 0.8 },
    { reason: "gopher_enough_stop_words", measure: "gopher.stop_words", below: 2 },
  ],
};

const gopherRepetition: Preset = {
  name: "gopher_repetition",
  source: "Gopher: arXiv 2112.11446, table A1",
  rules: [
    { reason: "empty", measure: "characters", below: 1 },
    { reason: "dup_para_frac", measure: "repetition.paragraphs", above: 0.3 },
    { reason: "dup_para_char_frac", measure: "repetition.paragraph_characters", above: 0.2 },
    { reason: "dup_line_frac", measure: "repetition.lines", above: 0.3 },
    { reason: "dup_line_char_frac", measure: "repetition.line_characters", above: 0.2 },
    ...topSizes.map((n): Rule => ({ reason: `top_${n}_gram`, measure: `repetition.top_${n}`, above: topLimits[n] })),
    ...duplicateSizes.map(
      (n): Rule => ({ reason: `duplicated_${n}_n_grams`, measure: `repetition.duplicate_${n}`, above: duplicateLimits[n] }),
    ),
  ],
};

const fineWebQuality: Preset = {
  name: "fineweb_quality",
  source: "FineWeb: arXiv 2406.17557, section 3.6",
  rules: [
    { reason: "empty", measure: "fineweb.lines", below: 1 },
    { reason: "line_punct_ratio", measure: "fineweb.ended_lines", below: 0.12 },
    { reason: "short_line_ratio", measure: "fineweb.short_lines", above: 0.67 },
    { reason: "char_dup_ratio", measure: "fineweb.duplicate_characters", above: 0.01 },
    { reason: "list_ratio", measure: "fineweb.line_feeds", above: 0.3 },
  ],
};

/** Rules whose verdicts are those of datatrove 0.10 with the same words. */
export const presets: readonly Preset[] = [c4Quality, gopherQuality, gopherRepetition, fineWebQuality];
