import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { redactSecrets, redactStrings } from "./index.js";

describe("redactSecrets", () => {
  it("redactSecrets removes user and password of every form of address", () => {
    for (const secret of ["me:cret", ":cret", "cret", ":c/r?e#t", ":c@ret"])
      strictEqual(redactSecrets(`at redis://${secret}@h:1/5, so`), "at redis://h:1/5, so");
    strictEqual(redactSecrets("http://u:cret@proxy:1 and https://u:cret@index/simple"), "http://proxy:1 and https://index/simple");
    strictEqual(redactSecrets("redis://h:1/5?username=me&password=cret&family=4"), "redis://h:1/5?username=***&password=***&family=4");
  });

  it("redactSecrets removes tokens of npm and pip, headers and variables from the output of programs", () => {
    for (const [text, shown] of [
      [
        "Looking in indexes: https://me:cret@nexus/simple, https://pypi.org/simple",
        "Looking in indexes: https://nexus/simple, https://pypi.org/simple",
      ],
      ["//registry.npmjs.org/:_authToken=cret-1", "//registry.npmjs.org/:_authToken=***"],
      [`_auth = "Y3JldA==" _password=cret`, `_auth = "***" _password=***`],
      ["Proxy-Authorization: Basic Y3JldA==", "Proxy-Authorization: Basic ***"],
      ["HF_TOKEN=cret PGPASSWORD='cret' AWS_SECRET_ACCESS_KEY=cret", "HF_TOKEN=*** PGPASSWORD='***' AWS_SECRET_ACCESS_KEY=***"],
      [`{"HF_TOKEN":"cret","HOME":"/root"}`, `{"HF_TOKEN":"***","HOME":"/root"}`],
      ["GET https://h/x?a=1&token=cret&X-Amz-Signature=cret#y", "GET https://h/x?a=1&token=***&X-Amz-Signature=***"],
      ["401 for ghp_0123456789abcdefABCDEF0123456789abcd", "401 for ghp_***"],
    ] as const)
      strictEqual(redactSecrets(text), shown);
  });

  it("redactStrings keeps all values of JSON except the secrets in its text", () => {
    deepStrictEqual(redactStrings({ url: "redis://u:cret@h", list: ["HF_TOKEN=cret", Number.NaN, null, true], at: { step: 3 } }), {
      url: "redis://h",
      list: ["HF_TOKEN=***", Number.NaN, null, true],
      at: { step: 3 },
    });
  });

  it("redactSecrets does not change a text without secrets", () => {
    const text = "redis://127.0.0.1:6379/5 refuses user@host, see https://example.org/a?b=c";
    strictEqual(redactSecrets(text), text);
    for (const plain of [
      "error LAP_HTTP_TOKEN: the request has no token",
      "data.tokenizer=train",
      "npm_execpath",
      "password: see the manual",
    ])
      strictEqual(redactSecrets(plain), plain);
  });
});
