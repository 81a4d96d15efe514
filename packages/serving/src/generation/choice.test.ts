import { deepStrictEqual } from "node:assert/strict";
import { FakeEngine } from "../testing/fake-engine.js";
import { Choice, type ChoiceDelta } from "./choice.js";
import { StopStrings } from "./stop-strings.js";

const engine = new FakeEngine();

function choiceOf(stops: readonly string[], options: { readonly echo?: string; readonly withTokens?: boolean } = {}): Choice {
  const { echo = "", withTokens = false } = options;
  return new Choice({ index: 0, stream: engine.decodeStream([]), stops: new StopStrings(stops), echo, withTokens });
}

const push = (choice: Choice, text: string | readonly number[]): ChoiceDelta[] =>
  [...(typeof text === "string" ? Buffer.from(text) : text)].map((id) => choice.push({ id }));
const texts = (deltas: readonly ChoiceDelta[]): string[] => deltas.map(({ text }) => text);

describe("a choice", () => {
  it("a character whose bytes are in several tokens is released with its last byte", () => {
    deepStrictEqual(texts(push(choiceOf([]), "aé😀")), ["a", "", "é", "", "", "", "😀"]);
  });

  it("an incomplete character at the end becomes U+FFFD", () => {
    const choice = choiceOf([]);
    deepStrictEqual(texts([...push(choice, [97, 0xf0, 0x9f]), choice.end("length")]), ["a", "", "", "\ufffd"]);
  });

  it("a stop string across tokens ends the choice with reason stop", () => {
    const deltas = push(choiceOf(["é."]), "aé.");
    deepStrictEqual(texts(deltas), ["a", "", "", ""]);
    deepStrictEqual(
      deltas.map(({ finish }) => finish),
      [undefined, undefined, undefined, "stop"],
    );
  });

  it("the last delta has the text that was held back and the reason of the engine", () => {
    const choice = choiceOf(["END"]);
    deepStrictEqual(texts(push(choice, "aEN")), ["a", "", ""]);
    deepStrictEqual(choice.end("length"), { index: 0, text: "EN", tokens: [], finish: "length" });
  });

  it("a stop string that the last incomplete character completes ends the text", () => {
    const choice = choiceOf(["b\ufffd"]);
    push(choice, [97, 98, 0xf0]);
    deepStrictEqual(choice.end("length"), { index: 0, text: "", tokens: [], finish: "stop" });
  });

  it("tokens are released with their text, and tokens of a stop string are dropped", () => {
    const choice = choiceOf(["cd"], { withTokens: true });
    const offsets = push(choice, "acbcd").map(({ tokens }) => tokens.map(({ token, offset }) => [token.id, offset]));
    deepStrictEqual(offsets, [
      [[97, 0]],
      [],
      [
        [99, 1],
        [98, 2],
      ],
      [],
      [],
    ]);
  });

  it("offsets count the echo, and the end releases all tokens", () => {
    const choice = choiceOf(["xy"], { echo: "ab", withTokens: true });
    push(choice, "x");
    deepStrictEqual(choice.end("stop"), { index: 0, text: "x", tokens: [{ token: { id: 120 }, offset: 2 }], finish: "stop" });
    deepStrictEqual(choice.tokens, 1);
  });
});
