import { ok, strictEqual, throws } from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { canonicalJson, LapidaryError, maxSocketPathBytes, socketPathFor } from "./index.js";

describe("socket path", () => {
  it("socketPathFor returns a path that the system can address, and always the same short path for a longer one", () => {
    strictEqual(socketPathFor("/run/lapidary/redis.sock"), "/run/lapidary/redis.sock");
    const directory = mkdtempSync(join(tmpdir(), "lap-long-"));
    const long = join(directory, "d".repeat(100), "redis.sock");
    const short = socketPathFor(long);
    try {
      ok(Buffer.byteLength(short) <= maxSocketPathBytes);
      strictEqual(socketPathFor(long), short);
      strictEqual(statSync(dirname(short)).mode & 0o077, 0);
      chmodSync(dirname(short), 0o777);
      throws(() => socketPathFor(long), LapidaryError);
    } finally {
      rmSync(dirname(short), { recursive: true });
      rmSync(directory, { recursive: true });
    }
  });

  it("socketPathFor skips a temporary directory that is missing or too long", () => {
    const before = process.env["TMPDIR"];
    try {
      for (const unusable of ["/nowhere/at/all", "/dev/null", `/tmp/${"t".repeat(120)}`]) {
        process.env["TMPDIR"] = unusable;
        const short = socketPathFor(`/home/${"d".repeat(100)}/${process.pid}/redis.sock`);
        strictEqual(dirname(dirname(short)), "/tmp");
        rmSync(dirname(short), { recursive: true });
      }
    } finally {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    }
  });

  it("canonicalJson prints equal values alike, independently of the order of keys", () => {
    strictEqual(canonicalJson({ b: [1, { d: null, c: "x" }], a: true }), canonicalJson({ a: true, b: [1, { c: "x", d: null }] }));
  });
});
