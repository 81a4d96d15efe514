import { findPii, type PiiKind } from "@lapidary/detectors";
import { z } from "zod";
import { type Decision, editDocuments } from "./map-documents.js";
import { piiNames } from "./pii-names.js";
import type { Stage } from "./stage.js";

/** A kind is replaced by a text, or `drop` drops its documents. */
const action = z.string().optional();
const settings = z.strictObject({
  email: action,
  phone: action,
  ipv4: action,
  ipv6: action,
  ssn: action,
  card: action,
  iban: action,
  "api-key": action,
  "private-key": action,
});

export type RedactSettings = z.infer<typeof settings>;

/** Replaces personal data and keys by placeholders, or drops the documents that have them. */
export const redact: Stage<RedactSettings> = {
  settings,
  changes: true,
  steps: () => [
    {
      shape: "map",
      name: "redact",
      code: "1",
      writes: "edits",
      run: (view, actions) => editDocuments(view, ({ text }) => redactText(text, actions)),
    },
  ],
};

function redactText(text: string, actions: RedactSettings): Decision {
  const found = findPii(text);
  const actionOf = (kind: PiiKind): string | undefined => actions[piiNames[kind]];
  const drop = found.find(({ kind }) => actionOf(kind) === "drop");
  if (drop !== undefined) return { drop: piiNames[drop.kind] };
  const replace = found.flatMap(({ kind, start, end }) => {
    const by = actionOf(kind);
    return by === undefined ? [] : [{ start, end, by, reason: piiNames[kind] }];
  });
  return replace.length === 0 ? undefined : { replace };
}
