import { deepStrictEqual, throws } from "node:assert/strict";
import { byteTokenizer } from "./chat-tokenizer.js";
import { encodeDialogue } from "./encode-dialogue.js";

const text = (ids: readonly number[]): string => ids.map((id) => byteTokenizer.piece(id)).join("");

describe("the ids of a dialogue", () => {
  it("a dialogue ends with the start of the answer", () => {
    const ids = encodeDialogue(
      [
        { role: "system", content: "Short." },
        { role: "user", content: "Hi" },
      ],
      byteTokenizer,
      "messages",
    );
    deepStrictEqual(text(ids).replaceAll("<0x0A>", "|"), "<bos><start_of_turn>user|Short.||Hi<end_of_turn>|<start_of_turn>model|");
  });

  it("a dialogue that the user does not end is refused", () => {
    throws(() => encodeDialogue([], byteTokenizer, "messages"), { code: "LAP_EXAMPLE_ROLE" });
    throws(
      () =>
        encodeDialogue(
          [
            { role: "user", content: "Hi" },
            { role: "model", content: "Hello" },
          ],
          byteTokenizer,
          "messages",
        ),
      { code: "LAP_EXAMPLE_ROLE", message: /ends with the role model/ },
    );
  });
});
