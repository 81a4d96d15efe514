import { type Finding, withoutOverlaps } from "./finding.js";
import { findSecrets, type SecretKind } from "./secrets.js";
import {
  ibanLength,
  isCardNumber,
  isIban,
  isNorthAmericanNumber,
  isPublicAddress,
  isSocialSecurityNumber,
  wellKnownAddresses,
} from "./validators.js";

/** Personal data in a text. Every candidate of a pattern is validated, so that numbers of other kinds are not found. */

export type PiiKind =
  | SecretKind
  | "email address"
  | "IBAN"
  | "payment card"
  | "social security number"
  | "IPv4 address"
  | "IPv6 address"
  | "phone number";

/**
 * The personal data of a text, in its order. A part of the text is found once, as the first kind of the list that matches.
 *
 * All patterns have bounded repetitions, so the time is linear in the text.
 */
export function findPii(text: string): readonly Finding<PiiKind>[] {
  const hasDigit = /\d/.test(text);
  const numbers = hasDigit ? [...ibans(text), ...cards(text), ...socialSecurityNumbers(text), ...addresses(text), ...phones(text)] : [];
  return withoutOverlaps([...findSecrets(text), ...emails(text), ...numbers]);
}

/** The candidates of a pattern that are valid. */
function* validated(
  text: string,
  kind: PiiKind,
  pattern: RegExp,
  isValid: (candidate: string, start: number) => boolean,
): Generator<Finding<PiiKind>> {
  for (const match of text.matchAll(pattern)) {
    const [candidate] = match;
    if (isValid(candidate, match.index)) yield { kind, start: match.index, end: match.index + candidate.length };
  }
}

const emailPattern =
  /(?<![\p{L}\p{N}._%+-])[\p{L}\p{N}_][\p{L}\p{N}._%+'-]{0,63}@(?:[\p{L}\p{N}-]{1,63}\.){1,6}\p{L}{2,24}(?![\p{L}\p{N}@])/gu;
/** RFC 2606 and RFC 6762: domains of no person. */
const reservedDomain = /(?:^|\.)(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost|local)$/i;
/** `logo@2x.png` is the name of a file. */
const fileDomain = /\.(?:png|jpe?g|gif|svg|webp|js|ts|css|json|md|py)$/i;
const automatic = /^(?:git|no-?reply|do-?not-?reply|mailer-daemon)$/i;

const emails = (text: string): Generator<Finding<PiiKind>> =>
  validated(text, "email address", emailPattern, (candidate) => {
    const at = candidate.indexOf("@");
    const [local, domain] = [candidate.slice(0, at), candidate.slice(at + 1)];
    const isWellFormed = !local.includes("..") && !local.endsWith(".") && domain.split(".").every((label) => !/^-|-$/.test(label));
    return isWellFormed && !reservedDomain.test(domain) && !fileDomain.test(domain) && !automatic.test(local);
  });

/** The country decides how many characters follow, because a word in capitals can follow an IBAN. */
function* ibans(text: string): Generator<Finding<PiiKind>> {
  for (const match of text.matchAll(/(?<![\p{L}\p{N}])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])/gu)) {
    const length = ibanLength(match[0].slice(0, 2).toUpperCase());
    if (length === undefined) continue;
    let compact = match[0].toUpperCase();
    let end = match.index + match[0].length;
    while (compact.length < length) {
      if (/[ -]/.test(text.charAt(end)) && /[A-Za-z0-9]/.test(text.charAt(end + 1))) end++;
      const character = text.charAt(end);
      if (!/[A-Za-z0-9]/.test(character)) break;
      compact += character.toUpperCase();
      end++;
    }
    if (!/[\p{L}\p{N}]/u.test(text.charAt(end)) && isIban(compact)) yield { kind: "IBAN", start: match.index, end };
  }
}

const digitsOf = (candidate: string): string => candidate.replace(/\D/g, "");

const cards = (text: string): Generator<Finding<PiiKind>> =>
  validated(text, "payment card", /(?<![\p{L}\p{N}.,-])\d(?:[ -]?\d){12,18}(?![\p{L}\p{N}]|[.,-]\d)/gu, (candidate) => {
    const digits = digitsOf(candidate);
    return isCardNumber(digits) && new Set(digits).size > 2;
  });

/** Without hyphens, nine digits are a social security number only if a word before them says so. */
const socialSecurityNumbers = (text: string): Generator<Finding<PiiKind>> =>
  validated(text, "social security number", /(?<![\p{L}\p{N}-])\d{3}([- ]?)\d{2}\1\d{4}(?![\p{L}\p{N}]|-\d)/gu, (candidate, start) => {
    const isNamed = /(?:ssn|social[ -]security)[^.\n]{0,24}$/i.test(before(text, start));
    return (candidate.includes("-") || isNamed) && isSocialSecurityNumber(digitsOf(candidate));
  });

function* addresses(text: string): Generator<Finding<PiiKind>> {
  const isAddress = (candidate: string, start: number): boolean =>
    !/(?:\bv|ver\.?|version|release|section|chapter|§)[ :=]{0,2}$/i.test(before(text, start)) &&
    isPublicAddress(candidate) &&
    !wellKnownAddresses.has(candidate);
  yield* validated(text, "IPv4 address", /(?<![\p{L}\p{N}.-])\d{1,3}(?:\.\d{1,3}){3}(?![\p{L}\p{N}]|\.\d|-\d)/gu, isAddress);
  yield* validated(text, "IPv6 address", /(?<![\p{L}\p{N}:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\p{L}\p{N}:])/gu, isAddress);
}

/** Digits with at most two separators between two of them. */
const phonePattern = /(?<![\p{L}\p{N}.,+/=#$€£-])(?:\+ ?)?[\d(](?:[ ./-]{0,2}[\d()]){6,24}(?![\p{L}\p{N}%]|[.,:/-]\d)/gu;
const phoneNoun = /(?:phone|tel|mobile|cell|fax|whatsapp|telefon|handy|portable|móvil|celular)\b[^\d\n+(]{0,20}$/iu;
/** After a verb the digits must be grouped, because "call 1234567 times" names no number. */
const phoneVerb = /\b(?:call|text|dial|ring|reach)\b[^\d\n+(]{0,12}$/iu;

const phones = (text: string): Generator<Finding<PiiKind>> =>
  validated(text, "phone number", phonePattern, (candidate, start) => {
    const digits = digitsOf(candidate);
    if (digits.length < 7 || digits.length > 15) return false;
    // E.164: a country code does not begin with 0.
    if (candidate.startsWith("+")) return digits.length >= 8 && !digits.startsWith("0");
    const isAfterVerb = /[ ./-]/.test(candidate) && phoneVerb.test(before(text, start));
    const isNamed = isAfterVerb || phoneNoun.test(before(text, start));
    const isGrouped = /^(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}$/.test(candidate);
    if (isGrouped) return isNorthAmericanNumber(digits);
    if (/^00[1-9]/.test(digits)) return digits.length >= 10 && (isNamed || /^00 ?[1-9]\d{0,2}[ /-]/.test(candidate));
    const isDate = /^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})$/.test(candidate);
    const isThousands = /^\d{1,3}(?:[ .]\d{3})+$/.test(candidate);
    return isNamed && !isDate && !isThousands;
  });

/** The text that can name a number. */
const before = (text: string, start: number): string => text.slice(Math.max(0, start - 40), start);
