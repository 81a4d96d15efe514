import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { bearerToken, isOriginOf, tokenCheck } from "./request-access.js";

describe("the access rules of HTTP requests", () => {
  it("an origin is a page of the same host and port, with or without TLS", () => {
    for (const origin of ["http://localhost:8765", "https://localhost:8765", "HTTP://LocalHost:8765"])
      strictEqual(isOriginOf("localhost:8765", origin), true, origin);
    for (const origin of ["http://localhost", "http://localhost:87650", "http://evil.example", "null", "", "ftp://localhost:8765"])
      strictEqual(isOriginOf("localhost:8765", origin), false, origin);
  });

  it("a bearer token has no spaces, and other schemes have no token", () => {
    const headers = ["Bearer abc", "Bearer  abc", "Bearer a b", "Basic abc", "bearer abc", ""];
    deepStrictEqual(headers.map(bearerToken), ["abc", "", "", "", "", ""]);
  });

  it("the token check accepts the token only", () => {
    const isToken = tokenCheck("secret");
    deepStrictEqual(["secret", "secre", "secrets", "", "SECRET"].map(isToken), [true, false, false, false, false]);
  });
});
