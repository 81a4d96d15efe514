import type { JsonValue } from "@lapidary/std";
import type { Branded } from "../ids.js";
import { decodeMessage } from "../message-decoders.js";
import type { MessageKind, MessageOf } from "../messages.js";

/** A type with plain numbers and strings in place of branded ones. */
export type Unbranded<T> =
  T extends Branded<number, string>
    ? number
    : T extends Branded<string, string>
      ? string
      : T extends string | number | boolean | null | undefined
        ? T
        : { readonly [K in keyof T]: Unbranded<T[K]> };

/** A message as a worker decodes it from plain JSON. */
export function message<K extends MessageKind>(plain: Unbranded<MessageOf<K>>): MessageOf<K> {
  const wire = JSON.parse(JSON.stringify({ ...plain, id: 0 })) as JsonValue;
  const { id: _, ...decoded } = decodeMessage(wire, { name: "a test", build: "this one" });
  return decoded as MessageOf<MessageKind> as MessageOf<K>;
}
