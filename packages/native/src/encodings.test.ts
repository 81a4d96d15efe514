import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { existsSync } from "node:fs";
import { crc32 } from "node:zlib";
import { type ExchangePlan, encodeExchange } from "./exchange.js";
import { loadKernels } from "./kernels.js";
import { libraryPath } from "./library-path.js";
import { type StagedBlock, encodeScatter } from "./staging.js";

const split = { bases: [0, 2], counts: [3], strides: [4], length: 2 };
const plan: ExchangePlan = { region: 0, member: 0, group: [0, 1], partSize: 6, outputDims: [6], split, combine: "sum" };

describe("the encodings of the kernels library", () => {
  it("the encoding of an exchange has its numbers in order, and each list is preceded by its length", () => {
    deepStrictEqual([...encodeExchange(plan)], [0, 0, 1, 6, 2, 0, 1, 1, 6, 1, 2, 0, 2, 1, 3, 1, 4, 2]);
    deepStrictEqual([...encodeExchange({ ...plan, split: undefined, combine: "max" })], [0, 0, 2, 6, 2, 0, 1, 1, 6, 0]);
    const joined = encodeExchange({ ...plan, region: 3, member: 1, split: undefined, combine: { join: split } });
    deepStrictEqual([...joined], [3, 1, 0, 6, 2, 0, 1, 1, 6, 0, 2, 0, 2, 1, 3, 1, 4, 2]);
  });

  it("the encoding of staged blocks has the array of the checksum, then the segments", () => {
    const segments = { first: 64, length: 8, counts: [2], strides: [16] };
    const blocks: readonly StagedBlock[] = [{ segments }, { segments, checksumOf: { begin: 64, bytes: 32 } }];
    deepStrictEqual([...encodeScatter(blocks)], [0, 0, 1, 64, 1, 2, 1, 16, 8, 64, 32, 1, 64, 1, 2, 1, 16, 8]);
  });
});

const kernels = loadKernels();
// The set-up builds the library only with libtensorflow. The test of the loader requires a library that was built.
if (existsSync(libraryPath("kernels")))
  describe("the compiled kernels library", () => {
    ok(typeof kernels !== "string", String(kernels));
    const { exchange, staging, fused } = kernels;

    it("the library accepts a whole exchange, and rejects a missing or extra number, an unknown region or a single member", () => {
      if (process.platform !== "linux") return strictEqual(exchange, undefined);
      ok(exchange !== undefined);
      const [space] = exchange.createSpace(0, 2, Float64Array.of(4096)) ?? [];
      ok(space !== undefined);
      const register = (code: Float64Array): number => exchange.registerExchange(space, code);
      const valid = [
        encodeExchange(plan),
        encodeExchange({ ...plan, split: undefined, combine: "min" }),
        encodeExchange({ ...plan, combine: { join: split } }),
      ];
      for (const code of valid) {
        ok(register(code) >= 0);
        throws(() => register(Float64Array.of(...code, 0)));
        throws(() => register(code.slice(0, -1)));
      }
      throws(() => register(encodeExchange({ ...plan, region: 1 })));
      throws(() => register(encodeExchange({ ...plan, group: [0] })));
      exchange.closeSpace(space, new Float64Array());
      throws(() => register(encodeExchange(plan)));
    });

    it("the library accepts staged blocks, and rejects blocks outside of the staging buffer or of their array", () => {
      if (process.platform !== "linux") return strictEqual(staging, undefined);
      ok(staging !== undefined);
      const shared = staging.share(4096);
      ok(shared !== undefined);
      const path = `/proc/${process.pid}/fd/${shared.file}`;
      strictEqual(staging.openStaging(path, 4095), undefined);
      const buffer = staging.openStaging(path, 4096);
      ok(buffer !== undefined);
      const register = (block: StagedBlock): number => staging.registerScatter(buffer, encodeScatter([block]));
      const segments = { first: 0, length: 1024, counts: [2], strides: [2048] };
      ok(register({ segments }) >= 0);
      ok(register({ segments, checksumOf: { begin: 0, bytes: 4096 } }) >= 0);
      throws(() => register({ segments: { ...segments, first: 1028 } }));
      throws(() => register({ segments: { ...segments, counts: [3] } }));
      throws(() => register({ segments, checksumOf: { begin: 0, bytes: 3068 } }));
      throws(() => register({ segments: { ...segments, length: 1020 }, checksumOf: { begin: 0, bytes: 4096 } }));
      staging.closeStaging(buffer, new Float64Array());
      throws(() => register({ segments }));
    });

    it("the library rejects a fused program that is truncated or continues after its end", () => {
      // No outer dims, one column, no inputs, one output of one number, one scalar register, one copy of a constant.
      const code = [0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0];
      throws(() => fused.registerProgram(Int32Array.of(...code, 7), new Float32Array()));
      throws(() => fused.registerProgram(Int32Array.of(...code.slice(0, -2)), new Float32Array()));
      ok(fused.registerProgram(Int32Array.of(...code), new Float32Array()) >= 0);
    });

    it("the CRC-32 of bytes equals that of zlib, in one call or continued", function () {
      if (process.platform !== "linux") return this.skip();
      ok(exchange !== undefined);
      const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 2654435761) >>> 24);
      for (const length of [0, 1, 15, 256, 4096, 5000]) {
        const part = bytes.subarray(0, length);
        strictEqual(exchange.crc32(part, 0), crc32(part));
        strictEqual(exchange.crc32(part.subarray(length >> 1), exchange.crc32(part.subarray(0, length >> 1), 0)), crc32(part));
      }
    });
  });
else
  it("the compiled kernels library is tested where the set-up has built it", function () {
    this.skip();
  });
