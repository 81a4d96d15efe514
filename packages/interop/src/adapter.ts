import { loraName, type ParamSpec } from "@lapidary/models";
import { sameDims } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import type { ArrayData } from "./array-data.js";
import { readJson } from "./hf-config.js";
import { SafetensorsFile } from "./safetensors.js";
import { tensorError } from "./tensor-errors.js";
import { isFile } from "./weight-files.js";

/** The head of a reward model, which is trained whole, by its own name and by that of PEFT. It is not a weight of the language model. */
const head = "score.weight";
const adapterHead = `base_model.model.${head}`;

const files = { config: "adapter_config.json", weights: "adapter_model.safetensors" } as const;

/** The adapters that can be merged: W + (alpha / r) · B·A without further parts. */
const configSchema = z.looseObject({
  peft_type: z.literal("LORA"),
  base_model_name_or_path: z.string(),
  /** Names of layers, or a pattern of names. */
  target_modules: z.union([z.array(z.string()), z.string()]).nullish(),
  r: z.number().int().positive(),
  lora_alpha: z.number(),
  bias: z.literal("none").optional(),
  fan_in_fan_out: z.literal(false).optional(),
  use_rslora: z.literal(false).optional(),
  use_dora: z.literal(false).optional(),
  rank_pattern: z.strictObject({}).optional(),
  alpha_pattern: z.strictObject({}).optional(),
});

/** A LoRA adapter of PEFT, whose base model is a checkpoint on this machine. */
export class LoraAdapter {
  private constructor(
    /** The directory of the checkpoint under it, which may be an adapter as well. */
    readonly base: string,
    private readonly scale: number,
    /** Layers that have matrices, by the end of their names. */
    private readonly targets: readonly string[],
    private readonly file: SafetensorsFile,
  ) {}

  /** The adapter in a directory. Undefined if there is none, if it is of another kind, or if its base model is not a directory of this machine. */
  static async open(directory: string): Promise<LoraAdapter | undefined> {
    const [config, weights] = [join(directory, files.config), join(directory, files.weights)];
    if (!(await isFile(config)) || !(await isFile(weights))) return undefined;
    const parsed = configSchema.safeParse(await readJson(config));
    if (!parsed.success) return undefined;
    const { base_model_name_or_path: base, r, lora_alpha: alpha, target_modules: targets } = parsed.data;
    const hasConfig = await Promise.all(["config.json", files.config].map((name) => isFile(join(base, name))));
    if (!isAbsolute(base) || !hasConfig.includes(true)) return undefined;
    return new LoraAdapter(base, alpha / r, Array.isArray(targets) ? targets : [], await SafetensorsFile.open(weights));
  }

  /**
   * Checks that each tensor belongs to a weight of the model, and that each named layer has matrices.
   *
   * @throws LAP_CHECKPOINT_TENSOR
   */
  check(params: readonly Pick<ParamSpec, "name" | "dims">[]): void {
    const { names, path } = this.file;
    const known = new Set(params.flatMap(({ name }) => [loraName(name, "A"), loraName(name, "B")]));
    for (const name of names)
      if (!known.has(name) && name !== adapterHead) throw tensorError(path, name, "the base model has no such weight");
    for (const target of this.targets)
      if (!params.some(({ name }) => name.endsWith(`${target}.weight`) && this.changes(name)))
        throw tensorError(path, target, "the adapter lacks the matrices of this layer");
    for (const { name, dims } of params) {
      const [a, b] = [this.file.dimsOf(loraName(name, "A")), this.file.dimsOf(loraName(name, "B"))];
      if (a === undefined && b === undefined) continue;
      const [rank = 0] = a ?? [];
      const isPair = a !== undefined && b !== undefined && sameDims(a, [rank, dims[1] ?? 0]) && sameDims(b, [dims[0] ?? 0, rank]);
      if (!isPair) throw tensorError(path, loraName(name, "A"), `A and B do not fit a weight of shape [${dims.join(", ")}]`);
    }
  }

  /**
   * The trained arrays, by the names that the state of an optimizer has: the matrices of a stack of weights are a stack.
   *
   * @param params of the model
   */
  trained(params: readonly ParamSpec[]): readonly Pick<ParamSpec, "name" | "dims">[] {
    const stackOf = new Map(
      params.flatMap(({ name, parts = [] }) =>
        parts.flatMap((part) =>
          (["A", "B"] as const).map((matrix) => [loraName(part, matrix), { name: loraName(name, matrix), n: parts.length }] as const),
        ),
      ),
    );
    const arrays = this.file.names.map((name): [string, readonly number[]] => {
      const [stack, dims] = [stackOf.get(name), this.file.dimsOf(name) ?? []];
      if (stack !== undefined) return [stack.name, [stack.n, ...dims]];
      return [name === adapterHead ? head : name, dims];
    });
    return [...new Map(arrays)].map(([name, dims]) => ({ name, dims }));
  }

  /** Whether the adapter changes a weight. */
  changes(name: string): boolean {
    return this.file.dimsOf(loraName(name, "A")) !== undefined;
  }

  /** W + scale · B·A, with sums in doubles. */
  async merge(name: string, weight: ArrayData): Promise<ArrayData> {
    if (!this.changes(name)) return weight;
    const [a, b] = [await this.file.read(loraName(name, "A")), await this.file.read(loraName(name, "B"))];
    const [[rank = 0, width = 0], [out = 0]] = [a.dims, b.dims];
    const data = Float32Array.from(weight.data);
    for (let row = 0; row < out; row++)
      for (let column = 0; column < width; column++) {
        let sum = 0;
        for (let k = 0; k < rank; k++) sum += ensure(b.data[row * rank + k], "B") * ensure(a.data[k * width + column], "A");
        data[row * width + column] = ensure(weight.data[row * width + column], "W") + this.scale * sum;
      }
    return { dtype: "f32", dims: weight.dims, data };
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

/**
 * The head of a reward model that was trained with an adapter.
 *
 * @returns undefined if the directory has no adapter with a head
 */
export async function readAdapterHead(directory: string): Promise<ArrayData | undefined> {
  const path = join(directory, files.weights);
  if (!(await isFile(path))) return undefined;
  const file = await SafetensorsFile.open(path);
  try {
    return file.names.includes(adapterHead) ? await file.read(adapterHead) : undefined;
  } finally {
    await file.close();
  }
}
