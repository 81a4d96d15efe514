import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { seededRandom } from "@lapidary/std";
import { temporaryDirectory } from "../testing/temporary.js";
import { type Disk, nodeDiskWith } from "./disk.js";
import { NativeDisk, nativeDisk } from "./native-disk.js";

const bytesOf = (seed: number, length: number): Uint8Array => {
  const random = seededRandom(seed);
  return Uint8Array.from({ length }, () => random.integer(256));
};

describe("files past the page cache", () => {
  const directory = temporaryDirectory();
  const native = nativeDisk;

  it("are summed up as zlib does, whatever their length, wherever they lie, in one piece or in several", () => {
    if (native === undefined) return;
    const bytes = bytesOf(1, 5000);
    for (const length of [0, 1, 7, 8, 15, 16, 63, 255, 256, 257, 511, 512, 513, 767, 1024, 4095, 4096, 4900])
      for (const offset of [0, 1, 13, 64]) {
        const part = bytes.subarray(offset, offset + length);
        strictEqual(native.crc32(part), crc32(part), `${length} bytes at ${offset}`);
        strictEqual(native.crc32(part.subarray(length >> 1), native.crc32(part.subarray(0, length >> 1))), crc32(part));
      }
  });

  const disks: readonly (readonly [string, Disk])[] = [
    ["past the page cache", nodeDiskWith(native)],
    ["as Node writes", nodeDiskWith(undefined)],
  ];
  for (const [how, disk] of disks)
    it(`hold what was written, ${how}: parts of any size that follow one another in memory or do not`, async () => {
      const random = seededRandom(3);
      const memory = bytesOf(4, 3 << 20);
      const path = join(directory(), "file");
      for (let round = 0; round < 12; round++) {
        const parts: Uint8Array[] = [];
        let at = random.integer(3) === 0 ? random.integer(9000) : 4096 * random.integer(4);
        for (let n = random.integer(9); n >= 0 && at < memory.length; n--) {
          const part = memory.subarray(at, at + (random.integer(4) === 0 ? random.integer(1_400_000) : random.integer(9000)));
          parts.push(part);
          at += part.length + (random.integer(3) === 0 ? random.integer(5000) : 0);
        }
        const half = random.integer(parts.length + 1);
        const file = await disk.create(path);
        const sums = [...(await file.write(parts.slice(0, half))), ...(await file.write(parts.slice(half)))];
        await file.sync();
        await file.close();
        ok(Buffer.concat(parts).equals(readFileSync(path)), `round ${round}`);
        deepStrictEqual(
          sums,
          parts.map((part) => crc32(part)),
        );
        const lengths = parts.map((part) => part.length);
        deepStrictEqual([...(await disk.checksums(path, lengths))], sums);
        // A file that is shorter, or goes on, is told by how many checksums there are.
        writeFileSync(path, "and more", { flag: "a" });
        strictEqual((await disk.checksums(path, lengths)).length, lengths.length + 1);
        strictEqual((await disk.checksums(path, [...lengths, 9])).length, lengths.length);
      }
    });

  it("fall back to ordinary writes where there is no way past the page cache, and tell what the system refuses as Node does", async () => {
    if (native === undefined) return;
    // A device of this kind cannot be opened past the page cache; this one reads zeros and is always full.
    const disk = nodeDiskWith(native);
    const full = await disk.create("/dev/full");
    await full.write([bytesOf(5, 100)]);
    await rejects(full.sync(), { code: "ENOSPC", syscall: "write", path: "/dev/full" });
    await full.close();
    deepStrictEqual(await disk.checksums("/dev/zero", [4096]), [crc32(new Uint8Array(4096)), 0]);
    mkdirSync(join(directory(), "taken"));
    await rejects(disk.create(join(directory(), "taken")), { code: "EISDIR", syscall: "open" });
    await rejects(disk.checksums(join(directory(), "none"), [1]), { code: "ENOENT", syscall: "open" });
  });

  for (const [how, disk] of disks)
    it(`go with their directory, ${how}, and what is not there is no error`, async () => {
      const place = join(directory(), "place");
      mkdirSync(join(place, "inner"), { recursive: true });
      writeFileSync(join(place, "inner", "file"), "text");
      symlinkSync(directory(), join(place, "link"));
      await disk.syncDirectory(place);
      await disk.remove(place);
      deepStrictEqual(await disk.list(directory()), []);
      await disk.remove(place);
      await rejects(disk.syncDirectory(place), { code: "ENOENT", syscall: "open" });
    });

  it("come without a module of ours as well", () => {
    strictEqual(NativeDisk.load(join(directory(), "none.node")), undefined);
  });

  it("are shared as memory that others open by its path, as long as it is held", () => {
    const shared = native?.share(10_000);
    if (shared === undefined) return;
    const { path, bytes } = shared;
    bytes.set([1, 2, 3], 5000);
    const seen = readFileSync(path);
    deepStrictEqual([seen.length, ...seen.subarray(5000, 5003)], [10_000, 1, 2, 3]);
  });
});
