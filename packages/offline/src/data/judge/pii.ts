import { findPii, type PiiKind } from "@lapidary/detectors";
import { z } from "zod";
import { fixtureRows } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const document = z.object({ id: z.string(), text: z.string() });

const names: Readonly<Record<PiiKind, string>> = {
  "email address": "email",
  "phone number": "phone",
  "social security number": "ssn",
  "payment card": "card",
  IBAN: "iban",
  "IPv4 address": "ipv4",
  "IPv6 address": "ipv6",
  "API key": "api-key",
  "private key": "private-key",
};

/** Personal data and keys, with offsets in UTF-16 units. */
export const pii: JudgeTask = {
  name: "pii",
  *answers(fixtures) {
    for (const { id, text } of fixtureRows(fixtures, "pii/documents.jsonl", document))
      yield { id, spans: findPii(text).map(({ kind, start, end }) => ({ kind: names[kind], start, end })) };
  },
};
