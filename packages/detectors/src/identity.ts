import type { Finding } from "./finding.js";

/**
 * A model's text that gives it the identity of another model: its name, its maker, or the end of its knowledge. Data that other models wrote has
 * such texts. Only claims in the first person count: a text about another model is not a claim.
 */

export type IdentityKind = "name of another model" | "maker of another model" | "date of knowledge";

export interface IdentityOptions {
  /** Names and makers that the trained model has: claims of them are right. */
  readonly own?: readonly string[];
}

const names = [
  "ChatGPT",
  "GPT-?\\d(?:\\.\\d)?(?:o| Turbo)?",
  "Claude",
  "Bard",
  "Gemini",
  "Gemma",
  "PaLM",
  "LaMDA",
  "Llama(?:[ -]?\\d(?:\\.\\d)?)?(?:[ -]Chat)?",
  "Vicuna",
  "Mistral",
  "Mixtral",
  "Qwen(?:\\d(?:\\.\\d)?)?",
  "Tongyi Qianwen",
  "DeepSeek(?:[ -](?:V|R)\\d)?",
  "Grok",
  "(?:Microsoft |GitHub )?Copilot",
  "Bing(?: Chat)?",
  "ERNIE(?: Bot)?",
  "Kimi",
  "ChatGLM",
  "Open ?Assistant",
  "Alexa",
  "Siri",
  "Cortana",
  "Google Assistant",
];

const makers = [
  "OpenAI",
  "Anthropic",
  "Google(?: DeepMind| AI)?",
  "DeepMind",
  "Meta(?: AI)?",
  "Facebook",
  "Microsoft",
  "Mistral(?: AI)?",
  "Alibaba(?: Cloud)?",
  "DeepSeek(?: AI)?",
  "xAI",
  "Baidu",
  "Moonshot(?: AI)?",
  "Zhipu(?: AI)?",
  "LMSYS",
  "Stability AI",
  "Cohere",
  "Amazon",
  "Apple",
  "LAION",
  "Databricks",
];

const anyOf = (patterns: readonly string[]): string => `(?:${patterns.join("|")})`;
const iAm = "\\b(?:I am|I['’]m|I was|I have been|I['’]ve been)";
const made = "(?:trained|created|developed|made|built|designed|programmed|fine-tuned)";
const assistant = "(?:AI|assistant|chatbot|(?:large )?language model|model|LLM)";
/** Not a claim: `ChatGPT's`, `ChatGPT user`. */
const nameEnd = "(?!['’]s\\b|[- ](?:user|users|fan|fans|subscriber|plugin|developer|engineer|API|Plus user|expert)\\b|[\\p{L}\\p{N}])";
/** The name of a person has a second part: `Claude Monet`. */
const noSurname = "(?!\\s\\p{Lu}\\p{Ll})";
const date = "(?:\\p{L}{3,9}\\.? )?(?:\\d{1,2}, )?(?:19|20)\\d\\d\\b";

interface Claim {
  readonly kind: IdentityKind;
  readonly pattern: RegExp;
}

const claim = (kind: IdentityKind, pattern: string): Claim => ({ kind, pattern: new RegExp(pattern, "giu") });
const exactCase = (kind: IdentityKind, pattern: string): Claim => ({ kind, pattern: new RegExp(pattern, "gu") });
const words = (max: number): string => `(?:[\\p{L}-]+,? ){0,${max}}`;

/** The name or maker that a claim names is its group. */
const claims: readonly Claim[] = [
  exactCase(
    "name of another model",
    `(?:${iAm} |\\b[Mm]y name is |\\b[Cc]all me )(?:actually |just |really |called |named )?(${anyOf(names)})${nameEnd}${noSurname}`,
  ),
  claim("name of another model", `${iAm} (?:an? )?${words(4)}${assistant}(?:,? (?:called|named|known as)) (${anyOf(names)})${nameEnd}`),
  exactCase("name of another model", `\\b[Aa]s (${anyOf(names)}), I\\b`),
  claim("maker of another model", `${iAm} ${words(2)}${made} (?:and ${made} )?by ${words(3)}(${anyOf(makers)})\\b`),
  claim(
    "maker of another model",
    `(?:${iAm}|\\bas) an? ${words(4)}${assistant},? (?:${words(3)}${made} )?(?:by|from|of) (${anyOf(makers)})\\b`,
  ),
  claim("maker of another model", `\\b(${anyOf(makers)}) (?:has |have )?${made} me\\b`),
  claim("maker of another model", `\\bmy (?:creators?|developers?|makers?|parent company)(?:,? (?:at|from|is|are))? (${anyOf(makers)})\\b`),
  claim(
    "date of knowledge",
    `\\bmy (?:knowledge|training|training data|knowledge base)(?: \\p{L}+)? ?(?:cut-?off|cut off|ends?|stops?|goes|extends|only goes|was last updated|is limited|is current)[^.\\n]{0,48}${date}`,
  ),
  claim("date of knowledge", `\\bas of my (?:last|latest|most recent) (?:knowledge |training )?(?:update|cut-?off|data)(?! (?:to|of) )`),
  claim(
    "date of knowledge",
    `\\bI (?:only |do not |don['’]t )?(?:have|know|was trained on)[^.\\n]{0,32}(?:knowledge|information|data|events)[^.\\n]{0,32}(?:up to|until|through|after|before|beyond) ${date}`,
  ),
];

/** The claims of a model's text, in the order of the patterns. The time is linear in the text, because all repetitions are bounded. */
export function findMistakenIdentity(
  text: string,
  { own = ["Gemma", "Google", "Google DeepMind", "DeepMind"] }: IdentityOptions = {},
): readonly Finding<IdentityKind>[] {
  const ownNames = new Set(own.map((name) => name.toLowerCase()));
  return claims.flatMap(({ kind, pattern }) =>
    [...text.matchAll(pattern)].flatMap((match): readonly Finding<IdentityKind>[] => {
      const named = match[1]?.toLowerCase();
      const isOwn = named !== undefined && ownNames.has(named);
      return isOwn || isQuoted(text, match.index) ? [] : [{ kind, start: match.index, end: match.index + match[0].length }];
    }),
  );
}

/** A claim directly after an opening quotation mark is the speech of another. */
const isQuoted = (text: string, start: number): boolean => /["“«„‘]$/.test(text.slice(Math.max(0, start - 1), start));
