import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "@lapidary/fabric";
import { ensure, seededRandom } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { type Disk, nodeDiskWith } from "./disk.js";
import type { FilePart } from "./disk-files.js";
import { NativeDisk, nativeDisk } from "./native-disk.js";

const bytesOf = (seed: number, length: number): Uint8Array => {
  const random = seededRandom(seed);
  return Uint8Array.from({ length }, () => random.integer(256));
};

describe("files past the page cache", () => {
  const directory = temporaryDirectory();
  const native = nativeDisk;

  it("a file has the checksum that zlib computes, for any length and offset, in one piece or in several", function () {
    if (native === undefined) return this.skip();
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
    it(`a file contains what was written, ${how}: parts of any size, adjacent in memory or not`, async () => {
      const random = seededRandom(3);
      const memory = bytesOf(4, 3 << 20);
      for (let round = 0; round < 12; round++) {
        const names = ["one", "two", "three"].slice(0, 1 + random.integer(3));
        const files = names.map(() => {
          const parts: Uint8Array[] = [];
          let at = random.integer(3) === 0 ? random.integer(9000) : 4096 * random.integer(4);
          for (let n = random.integer(9); n >= 0 && at < memory.length; n--) {
            const part = memory.subarray(at, at + (random.integer(4) === 0 ? random.integer(1_400_000) : random.integer(9000)));
            parts.push(part);
            at += part.length + (random.integer(3) === 0 ? random.integer(5000) : 0);
          }
          return { parts, half: random.integer(parts.length + 1) };
        });
        const asParts = (parts: readonly Uint8Array[]): FilePart[] =>
          parts.map((bytes) => (random.integer(2) === 0 ? { bytes } : { bytes, crc32: crc32(bytes) }));
        const place = join(directory(), "place");
        const written = await disk.create(place, names);
        const first = await written.write(files.map(({ parts, half }) => asParts(parts.slice(0, half))));
        const second = await written.write(files.map(({ parts, half }) => asParts(parts.slice(half))));
        await written.sync();
        await written.close();
        const lengths = new Map(files.map(({ parts }, i) => [ensure(names[i], "name"), parts.map(({ length }) => length)]));
        const read = await disk.checksums(place, lengths);
        files.forEach(({ parts }, i) => {
          const name = ensure(names[i], "name");
          ok(Buffer.concat(parts).equals(readFileSync(join(place, name))), `round ${round}: ${name}`);
          const sums = parts.map((part) => crc32(part));
          deepStrictEqual([...ensure(first[i], name), ...ensure(second[i], name)], sums);
          deepStrictEqual([...ensure(read[i], name)], sums);
        });
        // The number of checksums shows that a file is too short, or that it continues.
        writeFileSync(join(place, "one"), "and more", { flag: "a" });
        const count = files[0]?.parts.length ?? 0;
        const countOf = async (more: readonly number[]): Promise<number | undefined> =>
          (await disk.checksums(place, new Map([["one", [...ensure(lengths.get("one"), "one"), ...more]]])))[0]?.length;
        strictEqual(await countOf([]), count + 1);
        strictEqual(await countOf([9]), count);
      }
    });

  it("the writer uses the checksum that the caller passes, and reads no memory that was freed", async function () {
    if (native === undefined) return this.skip();
    const disk = nodeDiskWith(native);
    const files = await disk.create(directory(), ["file"]);
    const bytes = bytesOf(6, 9000);
    deepStrictEqual(await files.write([[{ bytes, crc32: 7 }]]), [[7]]);
    // The file has the bytes of the write, although the caller changed its memory.
    const before = bytes.slice();
    bytes.fill(0);
    await files.sync();
    await files.close();
    ok(readFileSync(join(directory(), "file")).equals(before));
    await rejects(files.write([]), /parts for each file/);
  });

  it("the writer uses ordinary writes if the page cache cannot be bypassed, and reports system errors like Node", async function () {
    if (native === undefined) return this.skip();
    // A device of this kind cannot be opened past the page cache. It reads zeros and is always full.
    const disk = nodeDiskWith(native);
    const full = await disk.create("/dev", ["full"]);
    await full.write([[{ bytes: bytesOf(5, 100) }]]);
    await rejects(full.sync(), { code: "ENOSPC", syscall: "write", path: "/dev/full" });
    await full.close();
    deepStrictEqual(await disk.checksums("/dev", new Map([["zero", [4096]]])), [[crc32(new Uint8Array(4096)), 0]]);
    mkdirSync(join(directory(), "taken"));
    await rejects(disk.create(directory(), ["taken"]), { code: "EISDIR", syscall: "open", path: join(directory(), "taken") });
    await rejects(disk.create(join(directory(), "a", "b"), ["c/d"]), { code: "ENOENT", syscall: "open" });
    await rejects(disk.checksums(directory(), new Map([["none", [1]]])), {
      code: "ENOENT",
      syscall: "open",
      path: join(directory(), "none"),
    });
  });

  for (const [how, disk] of disks)
    it(`a directory is removed with its files, ${how}, and a missing file is not an error`, async () => {
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

  it("files are written without the native module as well", () => {
    strictEqual(NativeDisk.load(join(directory(), "none.node")), undefined);
  });

  it("shared memory can be opened by its path as long as it is referenced", function () {
    const shared = native?.share(10_000);
    if (shared === undefined) return this.skip();
    const { path, bytes } = shared;
    bytes.set([1, 2, 3], 5000);
    const seen = readFileSync(path);
    deepStrictEqual([seen.length, ...seen.subarray(5000, 5003)], [10_000, 1, 2, 3]);
  });

  it("memory keeps its contents when it moves to large pages, for any size", async function () {
    for (const length of [10_000, 2 << 20, (5 << 20) + 123]) {
      const shared = native?.share(length);
      if (shared === undefined) return this.skip();
      const content = bytesOf(length, 10_000);
      for (let at = 0; at < length; at += content.length) shared.bytes.set(content.subarray(0, Math.min(content.length, length - at)), at);
      const before = shared.bytes.slice();
      await shared.onLargePages();
      ok(Buffer.compare(shared.bytes, before) === 0);
      shared.bytes[length - 1] = 77;
      strictEqual(readFileSync(shared.path)[length - 1], 77);
    }
  });
});
