import { throws } from "node:assert/strict";
import fc from "fast-check";
import { firstInvalidByte } from "./utf8.js";

describe("UTF-8", () => {
  it("a decoder accepts all bytes before the first invalid byte, and fails from this byte on", () => {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(...Buffer.from("aé€😀")), fc.integer({ min: 0, max: 255 })), { maxLength: 12 }),
        (array) => {
          const bytes = Uint8Array.from(array);
          const at = firstInvalidByte(bytes);
          decoder.decode(bytes.subarray(0, at));
          if (at < bytes.length)
            for (let end = at + 1; end <= Math.min(at + 4, bytes.length); end++) throws(() => decoder.decode(bytes.subarray(0, end)));
        },
      ),
    );
  });
});
