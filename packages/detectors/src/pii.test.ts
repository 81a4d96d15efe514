import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { maskedExcerpt } from "./finding.js";
import { findPii } from "./pii.js";
import { hasLuhnDigit, isIban } from "./validators.js";

const found = (text: string): readonly (readonly [string, string])[] =>
  findPii(text).map(({ kind, start, end }) => [kind, text.slice(start, end)]);

/** Texts with personal data, and what is found. */
const positives: readonly (readonly [text: string, ...found: (readonly [string, string])[]])[] = [
  ["Write to jane.doe+news@mail.acme-corp.co.uk, please.", ["email address", "jane.doe+news@mail.acme-corp.co.uk"]],
  ["<müller@straße.de>", ["email address", "müller@straße.de"]],
  ["a@b.io and c_d@e.org", ["email address", "a@b.io"], ["email address", "c_d@e.org"]],
  ["IBAN: DE89 3704 0044 0532 0130 00 BIC COBADEFFXXX", ["IBAN", "DE89 3704 0044 0532 0130 00"]],
  ["gb82west12345698765432.", ["IBAN", "gb82west12345698765432"]],
  ["NO93 8601 1117 947 is short", ["IBAN", "NO93 8601 1117 947"]],
  ["card 4539 1488 0343 6467 exp 01/29", ["payment card", "4539 1488 0343 6467"]],
  ["5425233430109903", ["payment card", "5425233430109903"]],
  ["Amex 3742-454554-00126", ["payment card", "3742-454554-00126"]],
  ["His SSN is 536-22-8726.", ["social security number", "536-22-8726"]],
  ["Social Security number: 536228726", ["social security number", "536228726"]],
  ["from 93.184.216.34 at noon", ["IPv4 address", "93.184.216.34"]],
  ["host 2a00:1450:4001:82b::200e up", ["IPv6 address", "2a00:1450:4001:82b::200e"]],
  ["Call (415) 867-5309 today", ["phone number", "(415) 867-5309"]],
  ["415-867-5309", ["phone number", "415-867-5309"]],
  ["from o'neil@hartwell.org", ["email address", "o'neil@hartwell.org"]],
  ["+49 30 901820", ["phone number", "+49 30 901820"]],
  ["Text us: 030 901820", ["phone number", "030 901820"]],
  ["my mobile is 01701234567", ["phone number", "01701234567"]],
  ["Tel.: 030 901820", ["phone number", "030 901820"]],
  ["call +1 (415) 867-5309, or 0044 20 7946 0018", ["phone number", "+1 (415) 867-5309"], ["phone number", "0044 20 7946 0018"]],
];

/** Texts that look like personal data and are not. */
const negatives: readonly string[] = [
  "jane at mail dot com, me@localhost, user@example.com, a@sub.example.org, x@host.test",
  "git@github.com:me/repo.git, lodash@4.17.21, logo@2x.png, next@latest, @someone, a@b",
  "noreply@acme.com",
  "DE89 3704 0044 0532 0130 01 has a wrong check digit, and XX89 3704 0044 0532 0130 00 no country",
  "order 4539 1488 0343 6468, tracking 1Z9999999999999999, pi is 3.14159265358979323",
  "test cards 4111 1111 1111 1111 and 4242424242424242",
  "0000 0000 0000 0000",
  "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000 078-05-1120",
  "part 536-22-87261, 1536-22-8726, 536228726",
  "127.0.0.1 10.1.2.3 192.168.0.1 172.16.0.1 169.254.1.1 203.0.113.7 0.0.0.0 255.255.255.255 8.8.8.8",
  "version 93.184.216.34, v1.2.3.4, 1.2.3.4.5, 256.1.2.3, 01.02.03.04x",
  "std::vector, 12:30:45, fe80::1, ::1, 2001:db8::1, a::b::c, dead::beef",
  "123-456-7890 has no area, 415-911-1234 no exchange",
  "2024-01-15, 15.01.2024, 12/31/1999, 2019-2024, 1,234,567.89, 10-20-30, 1 2 3 4 5 6 7 8",
  "ISBN 978-3-16-148410-0, $ 1 234 567, 100 000 000 people, 3.141592653, 5 + 4 - 3 = 6",
  "reach 1 000 000 people, call 1234567 times, phone sales of 1.234.567, call 2024-01-15 a date",
  "52713 12357 0123456789 20240115123000",
];

describe("the detector of personal data", () => {
  for (const [text, ...expected] of positives)
    it(`it finds the personal data in ${JSON.stringify(text)}`, () => {
      deepStrictEqual(found(text), expected);
    });

  for (const text of negatives)
    it(`it finds nothing in ${JSON.stringify(text)}`, () => {
      deepStrictEqual(found(text), []);
    });

  it("every changed digit of a card or an IBAN is detected by its check digit", () => {
    const digits = fc.stringMatching(/^\d{15}$/);
    fc.assert(
      fc.property(digits, fc.nat(15), fc.integer({ min: 1, max: 9 }), (payload, at, change) => {
        const last = [..."0123456789"].find((digit) => hasLuhnDigit(payload + digit)) ?? "";
        const whole = payload + last;
        strictEqual(hasLuhnDigit(whole), true);
        const changed = whole.slice(0, at) + String((Number(whole[at]) + change) % 10) + whole.slice(at + 1);
        strictEqual(hasLuhnDigit(changed), false);
      }),
    );
    const iban = "FR1420041010050500013M02606";
    strictEqual(isIban(iban), true);
    for (let at = 2; at < iban.length; at++)
      for (const digit of "0123456789") if (digit !== iban[at]) strictEqual(isIban(iban.slice(0, at) + digit + iban.slice(at + 1)), false);
  });

  it("the found parts of any text do not overlap, and are in its order", () => {
    const parts = fc.constantFrom(
      "415-867-5309",
      "536-22-8726",
      "a@b.io",
      "4539 1488 0343 6467",
      "DE89",
      " ",
      "1.2.3.4",
      "+",
      "(",
      "12",
      ".",
      "::",
      "tel ",
    );
    fc.assert(
      fc.property(fc.array(parts), (pieces) => {
        const findings = findPii(pieces.join(""));
        for (const [at, { start, end }] of findings.entries()) strictEqual(start < end && (findings[at - 1]?.end ?? 0) <= start, true);
      }),
      { numRuns: 500 },
    );
  });

  it("an excerpt shows at most the ends of what was found", () => {
    const text = "write to jane.doe@acme.com";
    deepStrictEqual(
      findPii(text).map((finding) => maskedExcerpt(text, finding)),
      ["ja…om"],
    );
    strictEqual(maskedExcerpt("a@b.io", { kind: "email address", start: 0, end: 6 }), "…");
  });
});
