import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { crc32 } from "@lapidary/fabric";
import { decodeSafetensors } from "@lapidary/interop";
import { replicated, sizeOf } from "@lapidary/ir";
import { type ModelConfig, buildModel } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { bytesOfNumbers, handleOf, type StagedTensor, type TensorSpec } from "@lapidary/protocol";
import type { StagingReport } from "@lapidary/cluster";
import type { CheckpointFiles } from "./checkpoint-contents.js";
import type { SharedMemory } from "@lapidary/checkpoint";
import { Staging } from "./staging.js";
import { StateFiles, stateFilesOf } from "./state-files.js";

const config: ModelConfig = {
  vocabSize: 30,
  modelDim: 8,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  mlpDim: 16,
  contextLength: 8,
  ropeTheta: 10_000,
  normEps: 1e-6,
};
const dims = new Map(buildModel(config).params.map((spec) => [spec.name, spec.dims]));
const names = [...dims.keys()];
const moments = ["adam_m", "adam_v"].flatMap((kind) => names.map((name) => `${kind}/${name}`));
const dimsOf = (value: string): readonly number[] => ensure(dims.get(value.slice(value.indexOf("/") + 1)), value);
const state = (name: string): TensorSpec => ({
  id: handleOf(name),
  dtype: "f32",
  dims: dimsOf(name),
  sharding: replicated(dimsOf(name).length),
});
const numbersOf = (value: string): Float32Array =>
  new Float32Array(sizeOf(dimsOf(value))).fill(value.length + (value.startsWith("adam_v") ? 0.5 : 0));

const check = (files: CheckpointFiles): void => {
  const read = (name: string): Map<string, readonly number[]> => {
    const bytes = Buffer.concat(ensure(files.get(name), name).map(([, part]) => part));
    return new Map([...decodeSafetensors(bytes, name)].map(([tensor, { data }]) => [tensor, [...data]]));
  };
  deepStrictEqual(read("model.safetensors"), new Map(names.map((name) => [name, [...numbersOf(`params/${name}`)]])));
  deepStrictEqual(read("optimizer.safetensors"), new Map(moments.map((name) => [name, [...numbersOf(name)]])));
};

/** Workers that write the state to a staging buffer, if they can open it. */
class WorkerGroup {
  readonly buffers = new Map<string, Uint8Array>();
  readonly taken: string[] = [];
  tensors: readonly StagedTensor[] = [];
  readonly moments = moments.map((name) => ({ name, state: name }));
  readonly state = state;
  failing = false;
  constructor(readonly opens: boolean) {}

  /** Staging buffers that were moved to large pages. */
  readonly large: string[] = [];

  readonly share = (length: number): SharedMemory => {
    const path = `buffer ${this.buffers.size}`;
    const bytes = new Uint8Array(length);
    this.buffers.set(path, bytes);
    const onLargePages = async (): Promise<void> => void this.large.push(path);
    return { path, bytes, onLargePages };
  };
  openStagingBuffer = async (_path: string, _bytes: number, tensors: readonly StagedTensor[]): Promise<boolean> => {
    this.tensors = tensors;
    return this.opens;
  };
  stage = async (path: string): Promise<StagingReport> => {
    if (this.failing) throw new Error("a worker is lost");
    this.taken.push(path);
    for (const { tensor, begin } of this.tensors) ensure(this.buffers.get(path), path).set(bytesOfNumbers(numbersOf(tensor.id)), begin);
    // Workers compute the checksum of every other array.
    return {
      bytes: 0,
      ms: 0,
      sums: this.tensors.map(({ tensor }, i) => (i % 2 === 0 ? crc32(bytesOfNumbers(numbersOf(tensor.id))) : undefined)),
    };
  };
  fetchState = async ({
    id,
  }: TensorSpec): Promise<{ readonly dtype: "f32"; readonly dims: readonly number[]; readonly data: Float32Array }> => ({
    dtype: "f32",
    dims: dimsOf(id),
    data: numbersOf(id),
  });
}

describe("the files of a run's state", () => {
  it("the files in a staging buffer equal those on the disk, each from the start of a block", () => {
    const layout = new StateFiles({ state }, stateFilesOf({ kind: "model", config }, new WorkerGroup(true)));
    const buffer = new Uint8Array(layout.bytes);
    const filesWith = layout.in(buffer);
    for (const { tensor, begin } of layout.tensors) buffer.set(bytesOfNumbers(numbersOf(tensor.id)), begin);
    const files = filesWith(layout.tensors.map((_, i) => i));
    check(files);
    const sums = [...files.values()].flat().flatMap(([name, , sum]) => (name.includes("header") ? [] : [sum]));
    deepStrictEqual(
      sums,
      layout.tensors.map((_, i) => i),
      "what is known of arrays",
    );
    ok([...files.values()].every(([length, header]) => length?.[2] === undefined && header?.[2] === undefined));
    for (const parts of files.values()) {
      let at = ensure(parts[0], "part")[1].byteOffset;
      strictEqual(at % 4096, 0);
      for (const [, part] of parts) {
        strictEqual(part.byteOffset, at, "parts follow one another");
        at += part.length;
      }
    }
    ok(layout.tensors.every(({ begin }) => begin % 4 === 0));
  });

  it("the files are the same whether workers write them to a staging buffer or they are fetched", async () => {
    for (const group of [new WorkerGroup(true), new WorkerGroup(false)]) {
      const staging = await Staging.open(group, stateFilesOf({ kind: "model", config }, group), group.share);
      const { files } = await staging.capture();
      check(files);
      const known = [...files.values()].flat().filter(([, , sum]) => sum !== undefined);
      strictEqual(known.length > 0, group.opens);
      for (const [name, bytes, sum] of known) strictEqual(sum, crc32(bytes), name);
      strictEqual(group.taken.length, group.opens ? 1 : 0);
    }
  });

  it("a capture takes a new staging buffer while another is in use, and reuses a released one", async () => {
    const group = new WorkerGroup(true);
    const staging = await Staging.open(group, stateFilesOf({ kind: "model", config }, group), group.share);
    const [first, second] = [await staging.capture(), await staging.capture()];
    first.release();
    (await staging.capture()).release();
    second.release();
    group.failing = true;
    await rejects(staging.capture(), /a worker is lost/);
    group.failing = false;
    await staging.capture();
    await staging.capture();
    deepStrictEqual(group.taken, ["buffer 0", "buffer 1", "buffer 0", "buffer 1", "buffer 0"]);
    strictEqual(group.buffers.size, 2);
    deepStrictEqual(group.large, ["buffer 0", "buffer 1"], "once each, when it was written");
  });
});
