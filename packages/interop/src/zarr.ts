import { readdir, readFile } from "node:fs/promises";
import { join, sep } from "node:path";
import { forEachIndex, sizeOf, stridesOf } from "@lapidary/ir";
import { LapidaryError, ensure } from "@lapidary/std";
import { z } from "zod";
import { type ArrayData, f32Array } from "./array-data.js";

const headerSchema = z.object({
  zarr_format: z.literal(2),
  shape: z.array(z.number().int().nonnegative()),
  chunks: z.array(z.number().int().positive()),
  dtype: z.literal("<f4"),
  order: z.literal("C"),
  compressor: z.null(),
  filters: z.null(),
  dimension_separator: z.string().default("."),
});
type ZarrHeader = z.infer<typeof headerSchema>;

/**
 * A folder of uncompressed Zarr 2 arrays of f32, as Orbax writes them without OCDBT and compression. The path of each array is its name.
 * Each chunk is a file with the chunk's indices as its name; all chunks have the same size:
 *
 *     params/model.norm.weight/.zarray    shape [8, 8], chunks [4, 8]
 *                              0.0        rows 0–3
 *                              1.0        rows 4–7
 */
export class ZarrFolder {
  private constructor(
    readonly path: string,
    private readonly headers: ReadonlyMap<string, ZarrHeader>,
  ) {}

  /** @throws LapidaryError LAP_CHECKPOINT_ZARR that names the file */
  static async open(path: string): Promise<ZarrFolder> {
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const folders = entries.filter((entry) => entry.isFile() && entry.name === ".zarray").map((entry) => entry.parentPath ?? entry.path);
    if (folders.length === 0) throw zarrError(path, "no Zarr array found in the directory");
    const headers = await Promise.all(
      folders.map(
        async (folder) =>
          [
            folder
              .slice(path.length + 1)
              .split(sep)
              .join("/"),
            await readHeader(join(folder, ".zarray")),
          ] as const,
      ),
    );
    return new ZarrFolder(path, new Map(headers));
  }

  get names(): string[] {
    return [...this.headers.keys()];
  }

  dimsOf(name: string): readonly number[] | undefined {
    return this.headers.get(name)?.shape;
  }

  dtypeOf(name: string): string | undefined {
    return this.headers.has(name) ? "F32" : undefined;
  }

  async readRange(name: string, from: number, to: number): Promise<ArrayData> {
    const { data } = await this.read(name);
    return f32Array([to - from], data.slice(from, to));
  }

  async read(name: string): Promise<ArrayData> {
    const { shape, chunks, dimension_separator: separator } = ensure(this.headers.get(name), name);
    const out = new Float32Array(sizeOf(shape));
    const strides = stridesOf(shape);
    for (const chunk of chunkIndices(shape, chunks)) {
      const path = join(this.path, name, chunk.length === 0 ? "0" : chunk.join(separator));
      const data = await readChunk(path, sizeOf(chunks));
      forEachIndex(chunks, (index, flat) => {
        const at = index.map((i, d) => (chunk[d] ?? 0) * (chunks[d] ?? 1) + i);
        // The last chunk of a dim may extend beyond the array.
        if (at.every((i, d) => i < (shape[d] ?? 0))) out[at.reduce((sum, i, d) => sum + i * (strides[d] ?? 1), 0)] = data[flat] ?? 0;
      });
    }
    return f32Array(shape, out);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function chunkIndices(shape: readonly number[], chunks: readonly number[]): (readonly number[])[] {
  const indices: (readonly number[])[] = [];
  forEachIndex(
    shape.map((size, d) => Math.ceil(size / (chunks[d] ?? 1))),
    (index) => indices.push([...index]),
  );
  return indices;
}

async function readHeader(path: string): Promise<ZarrHeader> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw zarrError(path, `cannot read the file (${reason(cause)})`);
  }
  const parsed = headerSchema.safeParse(json);
  if (!parsed.success)
    throw zarrError(path, `expected an uncompressed Zarr 2 array of f32 (${parsed.error.issues[0]?.path.join(".") ?? ""})`);
  if (parsed.data.shape.length !== parsed.data.chunks.length) throw zarrError(path, "shape and chunks have different lengths");
  return parsed.data;
}

async function readChunk(path: string, elements: number): Promise<Float32Array> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    // Copy, so that the data is aligned.
    bytes = Uint8Array.from(await readFile(path));
  } catch (cause) {
    throw zarrError(path, `cannot read the file (${reason(cause)})`);
  }
  if (bytes.length !== elements * 4) throw zarrError(path, `the chunk has ${bytes.length} bytes, expected ${elements * 4}`);
  return new Float32Array(bytes.buffer);
}

const reason = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

const zarrError = (location: string, message: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_CHECKPOINT_ZARR",
    message,
    location,
  });
