import { strictEqual } from "node:assert/strict";
import { redactUrl } from "./index.js";

describe("redactUrl", () => {
  it("leaves user and password out of every address, however they are written", () => {
    for (const secret of ["me:cret", ":cret", "cret", ":c/r?e#t", ":c@ret"])
      strictEqual(redactUrl(`at redis://${secret}@h:1/5, so`), "at redis://h:1/5, so");
    strictEqual(redactUrl("http://u:cret@proxy:1 and https://u:cret@index/simple"), "http://proxy:1 and https://index/simple");
    strictEqual(redactUrl("redis://h:1/5?username=me&password=cret&family=4"), "redis://h:1/5?username=***&password=***&family=4");
  });

  it("keeps a text without secrets as it is", () => {
    const text = "redis://127.0.0.1:6379/5 refuses user@host, see https://example.org/a?b=c";
    strictEqual(redactUrl(text), text);
  });
});
