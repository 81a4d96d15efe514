import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { LapidaryError, type JsonValue } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { parseSharding } from "@lapidary/ir";
import fc from "fast-check";
import { DecodeFailure } from "./decode.js";
import { handleOf } from "./ids.js";
import {
  coordinatorPeer,
  decodeAnswer,
  decodeMessage,
  decodeBufferHandle,
  decodeHeartbeat,
  decodeReply,
  decodeWorkerHello,
  encodeBufferHandle,
  encodeHeartbeat,
  idOfMalformed,
} from "./message-decoders.js";
import type { MessageKind } from "./messages.js";
import { type TensorSpec, checkTensor } from "./tensor-spec.js";
import { arbitraryAnswers, arbitraryMessages, arbitraryReplies } from "./testing/arbitrary-messages.js";

const peer = { name: "worker w1", build: "protocol 9 (abc)" };

type Path = readonly (string | number)[];

/** Every value inside of a JSON value, and where it is. */
function partsOf(value: JsonValue, path: Path = []): { readonly path: Path; readonly value: JsonValue }[] {
  const inner =
    Array.isArray(value) || (typeof value === "object" && value !== null)
      ? Object.entries(value).flatMap(([key, item]) => partsOf(item as JsonValue, [...path, Array.isArray(value) ? Number(key) : key]))
      : [];
  return path.length === 0 ? inner : [{ path, value }, ...inner];
}

/** The JSON value with another value at a path; undefined removes the field. */
function withPart(value: JsonValue, path: Path, part: JsonValue | undefined): JsonValue {
  const copy = structuredClone(value) as Record<string | number, unknown>;
  const last = path.at(-1) ?? "";
  const around = path.slice(0, -1).reduce<Record<string | number, unknown>>((at, key) => at[key] as Record<string | number, unknown>, copy);
  if (part === undefined) delete around[last];
  else around[last] = part;
  return copy as JsonValue;
}

const fieldOf = (path: Path): string => path.map((key, i) => (typeof key === "number" ? `[${key}]` : i === 0 ? key : `.${key}`)).join("");

/** Values of other kinds, with which a value may not be replaced. */
function damages(value: JsonValue, mayBeNull: boolean): JsonValue[] {
  if (typeof value === "number") return ["7", true, { seven: 7 }, [7], ...(mayBeNull ? [] : [null])];
  if (typeof value === "string") return [7, ["x"], { text: value }, false];
  if (typeof value === "boolean") return [1, "true", null];
  // A field that may be null can also be text, a number or an object.
  if (value === null) return [[], true];
  return Array.isArray(value) ? [{}, "list", 3] : ["object", 3, []];
}

/** Fields that a record may lack, by their last key. */
const optionalFields = new Set(["values", "repeats", "update", "trace", "keepCopies", "joins", "block", "role", "place", "pulse"]);

/** Checks that a decoder refuses a value with any one field damaged, missing or added, and names that field. */
function refusesDamage(value: JsonValue, decode: (damaged: JsonValue) => unknown, isOpen: (path: Path) => boolean = () => false): number {
  let refused = 0;
  const refuses = (damaged: JsonValue, field: string): void => {
    throws(
      () => decode(damaged),
      (error: unknown) => {
        ok(error instanceof LapidaryError, String(error));
        strictEqual(error.code, "LAP_PROTOCOL_MALFORMED");
        ok(error.message.includes(peer.build) && error.message.includes(peer.name), error.message);
        strictEqual(error.location, field, error.message);
        return true;
      },
      `${field} of ${JSON.stringify(damaged)}`,
    );
    refused++;
  };
  for (const { path, value: part } of partsOf(value)) {
    if (isOpen(path)) continue;
    for (const damage of damages(part, path.includes("shares"))) refuses(withPart(value, path, damage), fieldOf(path));
    const key = path.at(-1);
    if (typeof key === "string" && !optionalFields.has(key) && !path.includes("programs") && path.at(-2) !== "values")
      refuses(withPart(value, path, undefined), fieldOf(path));
    if (typeof part === "object" && part !== null && !Array.isArray(part) && !["programs", "values"].includes(String(key)))
      refuses(withPart(value, [...path, "extra"], 1), fieldOf([...path, "extra"]));
  }
  refuses({ ...(value as Record<string, JsonValue>), extra: 1 }, "extra");
  return refused;
}

const json = (value: unknown): JsonValue => JSON.parse(JSON.stringify(value)) as JsonValue;

describe("the decoder of a message", () => {
  for (const kind of Object.keys(arbitraryMessages) as MessageKind[])
    it(`reads every ${kind} message as it was sent, and refuses it with any field damaged`, () => {
      let refused = 0;
      const of = arbitraryMessages[kind] as fc.Arbitrary<Record<string, unknown>>;
      fc.assert(
        fc.property(of, fc.nat(), (plain, id) => {
          const wire = json({ ...plain, id });
          deepStrictEqual(decodeMessage(json(wire), peer), wire);
          refused += refusesDamage(
            wire,
            (damaged) => decodeMessage(damaged, peer),
            ([first]) => first === "kind",
          );
        }),
        { numRuns: 30 },
      );
      ok(refused > 100, `${refused} damaged messages`);
    });

  it("refuses a kind that does not exist, and a value that is not an object", () => {
    throws(() => decodeMessage({ kind: "dance", id: 1, epoch: 1 }, peer), { code: "LAP_PROTOCOL_MALFORMED", location: "kind" });
    throws(() => decodeMessage(null, peer), { code: "LAP_PROTOCOL_MALFORMED", location: "message" });
  });

  it("refuses counts that are negative or not whole", () => {
    for (const epoch of [-1, 0.5, 2 ** 60])
      throws(() => decodeMessage({ kind: "stats", id: 1, epoch }, peer), {
        code: "LAP_PROTOCOL_MALFORMED",
        message: `worker w1 of build protocol 9 (abc) sent a malformed message, field epoch: expected a whole number that is not negative, found ${epoch}`,
      });
  });

  it("finds the number of a malformed message if the number itself is well-formed", () => {
    strictEqual(idOfMalformed({ kind: 7, id: 3 }), 3);
    for (const header of [null, 3, {}, { id: "3" }, { id: -3 }, { id: 0.5 }]) strictEqual(idOfMalformed(header), undefined);
  });
});

describe("the decoder of an answer", () => {
  for (const kind of Object.keys(arbitraryReplies) as MessageKind[])
    it(`reads every reply to ${kind} as it was sent, and refuses it with any field damaged`, () => {
      fc.assert(
        fc.property(arbitraryReplies[kind] as fc.Arbitrary<unknown>, (plain) => {
          const wire = json(plain);
          deepStrictEqual(decodeReply(kind, json(wire), peer), wire);
          ok(refusesDamage(wire, (damaged) => decodeReply(kind, damaged, peer)) > 0);
        }),
        { numRuns: 30 },
      );
    });

  for (const [kind, of] of Object.entries(arbitraryAnswers))
    it(`reads every ${kind} answer as it was sent, and refuses it with any field damaged`, () => {
      fc.assert(
        fc.property(of as fc.Arbitrary<unknown>, (plain) => {
          const wire = json(plain);
          deepStrictEqual(decodeAnswer(json(wire), peer), wire);
          refusesDamage(
            wire,
            (damaged) => decodeAnswer(damaged, peer),
            // `decodeReply` reads a reply; a kind, or something that may be null, may be text.
            ([first]) => first === "kind" || first === "reply",
          );
        }),
        { numRuns: 30 },
      );
    });
});

describe("the decoders of hellos, heartbeats and buffer handles", () => {
  it("a decoder reads what its encoder wrote, and names the build of a process that sent something else", () => {
    const hello = { name: "w1", pid: 3, build: "protocol 1 (x)" };
    deepStrictEqual(decodeWorkerHello(hello), hello);
    throws(() => decodeWorkerHello({ ...hello, pid: "3" }), {
      code: "LAP_PROTOCOL_MALFORMED",
      message:
        'a process of build protocol 1 (x) sent a malformed hello, field pid: expected a whole number that is not negative, found "3"',
    });
    throws(() => decodeWorkerHello({ name: "w1", pid: 3 }), /a process of build unknown sent a malformed hello, field build/);
    deepStrictEqual(encodeHeartbeat(2), { turns: 2 });
    strictEqual(decodeHeartbeat({ turns: 2 }, peer), 2);
    throws(() => decodeHeartbeat({ turns: -2 }, peer), { location: "turns" });
    const handle = { path: null, id: "a", generation: 3, buffers: ["a"] };
    const offer = { path: null, id: "a", laying: 3, rooms: ["a"] };
    deepStrictEqual(encodeBufferHandle(handle), offer);
    deepStrictEqual(decodeBufferHandle(offer, peer), handle);
    refusesDamage(
      offer,
      (damaged) => decodeBufferHandle(damaged, peer),
      ([first]) => first === "path",
    );
    throws(() => decodeBufferHandle({ ...offer, path: 3 }, peer), { location: "path" });
    strictEqual(coordinatorPeer({ name: "pool", build: "b" }).build, "b");
    strictEqual(coordinatorPeer(null).build, "unknown");
  });
});

describe("a tensor of a message", () => {
  const mesh = makeMesh({ data: 4, model: 2 });
  const tensor = (dims: number[], sharding: string): TensorSpec => ({
    id: handleOf("x"),
    dtype: "f32",
    dims,
    sharding: parseSharding(mesh, sharding),
  });

  it("fits a mesh that has its sub-axes, each once, and whose sizes divide the dims", () => {
    checkTensor(mesh, tensor([8, 2], "[data, model]"));
    checkTensor(mesh, tensor([8], "[data] unreduced model"));
    const field = (of: TensorSpec): string => {
      try {
        checkTensor(mesh, of);
      } catch (error) {
        ok(error instanceof DecodeFailure, String(error));
        return error.field;
      }
      return "none";
    };
    strictEqual(field(tensor([6, 2], "[data, model]")), "dims[0]");
    strictEqual(field({ ...tensor([8, 2], "[data, model]"), dims: [8] }), "sharding.dims");
    strictEqual(field({ ...tensor([8], "[data]"), sharding: { dims: [[17]], unreduced: [], reduction: "sum" } }), "sharding");
    strictEqual(field({ ...tensor([8], "[-]"), sharding: { dims: [[0]], unreduced: [0], reduction: "sum" } }), "sharding");
  });
});
