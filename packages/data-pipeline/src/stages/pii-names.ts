import type { PiiKind } from "@lapidary/detectors";

/** The names of personal data in pipeline files, columns and accounts. */
export const piiNames = {
  "email address": "email",
  "phone number": "phone",
  "IPv4 address": "ipv4",
  "IPv6 address": "ipv6",
  "social security number": "ssn",
  "payment card": "card",
  IBAN: "iban",
  "API key": "api-key",
  "private key": "private-key",
} as const satisfies Readonly<Record<PiiKind, string>>;
