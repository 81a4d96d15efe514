import { deepStrictEqual, equal } from "node:assert/strict";
import { findPii } from "./pii.js";
import { findSecrets } from "./secrets.js";

/** Random characters that are not a key of anyone. The prefix is joined at run time, so that scanners of secrets ignore this file. */
const random = (length: number): string => "qZ3vT8kLw2XpB7nRy5CdF9hJ4mGs6Va1UeKo0TiWuYxP".repeat(3).slice(0, length);
const key = (prefix: string, body: string): string => `${prefix}${body}`;

const keys: readonly string[] = [
  key("AK", "IAQZ3VT7KLW2XPB7NR"),
  key("gh", `p_${random(36)}`),
  key("github", `_pat_${random(22)}_${random(59)}`),
  key("xo", `xb-123456789012-210987654321-${random(24)}`),
  key("sk", `_live_${random(24)}`),
  key("AI", `za${random(35)}`),
  key("ey", `JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.${random(43)}`),
];
const block = (label: string, end = label): string => `-----BEGIN ${label}-----\n${random(64)}\n${random(64)}\n-----END ${end}-----`;

describe("the detector of keys", () => {
  for (const each of keys)
    it(`it finds the whole key that begins with ${each.slice(0, 4)}, in quotes and after an equals sign`, () => {
      for (const text of [`token = "${each}"`, `export TOKEN=${each}\n`, `Bearer ${each}, once`])
        deepStrictEqual(
          findSecrets(text).map(({ kind, start, end }) => [kind, text.slice(start, end)]),
          [["API key", each]],
        );
    });

  it("it finds blocks of private keys, whose two labels are equal", () => {
    for (const label of ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY"])
      deepStrictEqual(findSecrets(`a\n${block(label)}\nb`), [{ kind: "private key", start: 2, end: 2 + block(label).length }]);
    for (const text of [block("PUBLIC KEY"), block("CERTIFICATE"), block("RSA PRIVATE KEY", "EC PRIVATE KEY"), "BEGIN PRIVATE KEY"])
      deepStrictEqual(findSecrets(text), []);
  });

  it("a placeholder, a hash, an identifier and a prefix alone are not keys", () => {
    const texts = [
      "da39a3ee5e6b4b0d3255bfef95601890afd80709",
      "550e8400-e29b-41d4-a716-446655440000",
      "hf_hub_download",
      "sk_live_",
      "YOUR_API_KEY",
    ];
    for (const text of [...texts, key("gh", `p_${"x".repeat(36)}`), key("gh", `p_${random(37)}`), `x${key("gh", `p_${random(36)}`)}`])
      deepStrictEqual(findSecrets(text), []);
  });

  it("a key is found once, as the key, also if it has digits like those of a telephone", () => {
    const text = key("xo", `xb-415867530912-210987654321-${random(24)}`);
    equal(findPii(text).length, 1);
  });

  it("the time is linear in a text of unfinished keys", () => {
    equal(findSecrets("-----BEGIN PRIVATE KEY-----\n".repeat(20_000)).length, 0);
    equal(findSecrets("eyJ".repeat(100_000)).length, 0);
  });
});
