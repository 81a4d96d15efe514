import { isIPv4, isIPv6 } from "node:net";

/** Checks of numbers by their check digits and their assigned ranges. Arguments have digits and letters only, without separators. */

/** The check digit of payment cards (ISO/IEC 7812-1): every second digit from the right is doubled, and the sum of digits is a multiple of 10. */
export function hasLuhnDigit(digits: string): boolean {
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charCodeAt(digits.length - 1 - i) - 0x30;
    const value = i % 2 === 1 ? digit * 2 : digit;
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 === 0;
}

interface CardNetwork {
  readonly name: string;
  readonly prefix: RegExp;
  readonly lengths: readonly number[];
}

const cardNetworks: readonly CardNetwork[] = [
  { name: "Visa", prefix: /^4/, lengths: [13, 16, 19] },
  { name: "Mastercard", prefix: /^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, lengths: [16] },
  { name: "American Express", prefix: /^3[47]/, lengths: [15] },
  { name: "Discover", prefix: /^(?:6011|64[4-9]|65)/, lengths: [16, 17, 18, 19] },
  { name: "JCB", prefix: /^35(?:2[89]|[3-8])/, lengths: [16, 17, 18, 19] },
  { name: "Diners Club", prefix: /^(?:30[0-5]|3095|36|38|39)/, lengths: [14, 16, 19] },
  { name: "UnionPay", prefix: /^62/, lengths: [16, 17, 18, 19] },
];

/** Numbers that the networks publish for tests. */
const testCards: ReadonlySet<string> = new Set([
  "4111111111111111",
  "4242424242424242",
  "4012888888881881",
  "4000056655665556",
  "5555555555554444",
  "5105105105105100",
  "2223003122003222",
  "378282246310005",
  "371449635398431",
  "6011111111111117",
  "6011000990139424",
  "3530111333300000",
  "30569309025904",
]);

export function isCardNumber(digits: string): boolean {
  const network = cardNetworks.find(({ prefix, lengths }) => prefix.test(digits) && lengths.includes(digits.length));
  return network !== undefined && !testCards.has(digits) && hasLuhnDigit(digits);
}

/** Lengths of the IBAN by country (SWIFT IBAN registry). */
const ibanLengths: Readonly<Record<string, number>> = Object.fromEntries(
  (
    "NO15 BE16 DK18 FI18 FO18 GL18 NL18 MK19 SI19 SK24 AT20 BA20 EE20 KZ20 LT20 LU20 XK20 MN20 CH21 HR21 LI21 LV21 BG22 BH22 CR22 DE22 GB22 GE22 IE22 " +
    "ME22 RS22 VA22 AE23 GI23 IL23 IQ23 OM23 TL23 SO23 AD24 CZ24 ES24 MD24 PK24 RO24 SA24 SE24 TN24 VG24 LY25 PT25 ST25 IS26 TR26 BI27 DJ27 FR27 GR27 " +
    "IT27 MC27 MR27 SM27 AL28 AZ28 BY28 CY28 DO28 GT28 HU28 LB28 NI28 PL28 SV28 BR29 EG29 PS29 QA29 UA29 JO30 KW30 MU30 SC31 LC32 MT31 RU33"
  )
    .split(" ")
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
);

/** @returns undefined for a country without IBAN */
export const ibanLength = (country: string): number | undefined => (Object.hasOwn(ibanLengths, country) ? ibanLengths[country] : undefined);

/** The check digits of an IBAN (ISO 13616, ISO/IEC 7064 MOD 97-10). Letters are numbers from 10, and the country and check digits come last. */
export function isIban(text: string): boolean {
  if (ibanLength(text.slice(0, 2)) !== text.length) return false;
  let remainder = 0;
  for (const character of text.slice(4) + text.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    if (Number.isNaN(value)) return false;
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder === 1;
}

/** Social security numbers that were printed in advertisements and forms. */
const publishedNumbers: ReadonlySet<string> = new Set(["078051120", "219099999", "123456789", "111111111"]);

/** A number that the US Social Security Administration can assign. */
export function isSocialSecurityNumber(digits: string): boolean {
  return /^(?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4}$/.test(digits) && !publishedNumbers.has(digits);
}

/** An address of the public internet: not private, local, reserved or for documentation (RFC 6890). */
export function isPublicAddress(text: string): boolean {
  if (isIPv4(text)) {
    const [a = 0, b = 0, c = 0] = text.split(".").map(Number);
    const isReserved =
      a === 0 ||
      a === 10 ||
      a === 127 ||
      a >= 224 ||
      (a === 100 && b >= 64 && b < 128) ||
      (a === 169 && b === 254) ||
      (a === 172 && b >= 16 && b < 32);
    const isSpecial = (a === 192 && b === 168) || (a === 198 && (b === 18 || b === 19)) || documentationNetworks.has([a, b, c].join("."));
    return !isReserved && !isSpecial;
  }
  // Global unicast addresses begin with the bits 001; 2001:db8 is for documentation.
  return isIPv6(text) && /^[23][0-9a-f]{3}:/i.test(text) && !/^2001:0?db8:/i.test(text);
}

const documentationNetworks: ReadonlySet<string> = new Set(["192.0.0", "192.0.2", "198.51.100", "203.0.113", "192.88.99"]);

/** Public resolvers and similar addresses that texts name as examples. */
export const wellKnownAddresses: ReadonlySet<string> = new Set(["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222"]);

/** A telephone number of the North American plan: area and exchange begin with 2 to 9. */
export function isNorthAmericanNumber(digits: string): boolean {
  return /^1?[2-9](?!11)\d{2}[2-9](?!11)\d{6}$/.test(digits);
}
