import type { Finding } from "./finding.js";

/** Keys that open an account or a machine. A key is sensitive, also if it belongs to no person. */

export type SecretKind = "API key" | "private key";

interface KeyFormat {
  /** The service that issues keys of this form. */
  readonly issuer: string;
  readonly pattern: RegExp;
}

const bounds = (body: string): RegExp => new RegExp(`(?<![A-Za-z0-9_.-])${body}(?![A-Za-z0-9_-])`, "g");

/** The published forms of keys. Each begins with the issuer's prefix, so that hashes and identifiers are not keys. */
const formats: readonly KeyFormat[] = [
  { issuer: "AWS", pattern: bounds("(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}") },
  { issuer: "GitHub", pattern: bounds("gh[pousr]_[A-Za-z0-9]{36}") },
  { issuer: "GitHub", pattern: bounds("github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}") },
  { issuer: "GitLab", pattern: bounds("gl(?:pat|dt|rt|ptt|ft|soat)-[A-Za-z0-9_-]{20,50}") },
  { issuer: "Slack", pattern: bounds("xox[abeoprs]-(?:\\d{10,13}-){1,3}[A-Za-z0-9]{24,34}") },
  { issuer: "Stripe", pattern: bounds("[rs]k_(?:live|test)_[A-Za-z0-9]{24,99}") },
  { issuer: "Google", pattern: bounds("AIza[A-Za-z0-9_-]{35}") },
  { issuer: "npm", pattern: bounds("npm_[A-Za-z0-9]{36}") },
  { issuer: "PyPI", pattern: bounds("pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,250}") },
  { issuer: "SendGrid", pattern: bounds("SG\\.[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{43}") },
  { issuer: "Hugging Face", pattern: bounds("hf_[A-Za-z]{34}") },
  { issuer: "Anthropic", pattern: bounds("sk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{80,110}") },
  { issuer: "OpenAI", pattern: bounds("sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,80}T3BlbkFJ[A-Za-z0-9_-]{20,80}") },
  { issuer: "DigitalOcean", pattern: bounds("do[opr]_v1_[a-f0-9]{64}") },
  { issuer: "Shopify", pattern: bounds("shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}") },
  { issuer: "Twilio", pattern: bounds("SK[a-f0-9]{32}") },
  // JSON Web Token: both texts before the signature are JSON objects, which begin with `{"` in base64.
  { issuer: "JWT", pattern: bounds("eyJ[A-Za-z0-9_-]{10,1000}\\.eyJ[A-Za-z0-9_-]{4,4000}\\.[A-Za-z0-9_-]{20,700}") },
];

/** RFC 7468: the label of both lines is equal, and lines of base64 are between them. */
const privateKey =
  /-----BEGIN ((?:[A-Z0-9]{1,12} ){0,3})PRIVATE KEY(?: BLOCK)?-----\r?\n(?:(?!-----)[A-Za-z0-9+/=:,. -]{0,200}\r?\n){1,400}?[ \t]*-----END \1PRIVATE KEY(?: BLOCK)?-----/g;

/** Bits of a random character in a key are more than this, on average. A placeholder such as xxxx has less. */
const minEntropy = 2.5;

export function findSecrets(text: string): readonly Finding<SecretKind>[] {
  const found: Finding<SecretKind>[] = [];
  for (const { index, 0: key } of text.includes("PRIVATE KEY") ? text.matchAll(privateKey) : [])
    found.push({ kind: "private key", start: index, end: index + key.length });
  for (const { pattern } of formats)
    for (const { index, 0: key } of text.matchAll(pattern))
      if (entropy(key.slice(key.length >> 1)) > minEntropy) found.push({ kind: "API key", start: index, end: index + key.length });
  return found;
}

/** Shannon entropy of the characters, in bits. */
function entropy(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.values()].reduce((bits, count) => bits - (count / text.length) * Math.log2(count / text.length), 0);
}
