import { readFileSync } from "node:fs";

type Bundle = "pod16x16" | "mqa";

const read = (bundle: Bundle, name: string): Buffer =>
  readFileSync(new URL(`../../../../../e2e/golden/post/${bundle}/${name}`, import.meta.url));

type Messages = readonly { readonly role: string; readonly content: string }[];

interface ChatGolden {
  readonly cases: readonly {
    readonly messages: Messages;
    readonly add_generation_prompt?: true;
    readonly text: string;
    readonly ids: readonly number[];
    readonly mask: readonly number[];
  }[];
  readonly refused: readonly Messages[];
  readonly gemma_vocabulary: { readonly text: string; readonly ids: readonly number[] };
}

/** The template of transformers on the dialogues of a bundle. */
export const chatGolden = (bundle: Bundle): ChatGolden => JSON.parse(read(bundle, "chat.json").toString("utf8")) as ChatGolden;

/** The batches that the trainers of TRL made of the examples of a bundle: the rows of an i32 array. A vector is one row. */
export function goldenRows(file: "sft" | "dpo" | "reward_model" | "generation", array: string): readonly number[][] {
  const bytes = read("pod16x16", `${file}.safetensors`);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerBytes)) as Readonly<Record<string, unknown>>;
  const entry = header[array] as { readonly shape: readonly number[]; readonly data_offsets: readonly [number, number] };
  const [start, end] = entry.data_offsets;
  const values = Array.from({ length: (end - start) / 4 }, (_, at) => bytes.readInt32LE(8 + headerBytes + start + 4 * at));
  const width = entry.shape.at(-1) ?? 1;
  return Array.from({ length: values.length / width }, (_, row) => values.slice(row * width, (row + 1) * width));
}

/** The messages of a row of byte tokens. An answer that only begins is left out. */
export function messagesOfIds(ids: readonly number[]): readonly { readonly role: string; readonly content: string }[] {
  const [bos, pad, firstByte, startOfTurn, endOfTurn] = [2, 0, 4, 260, 261];
  const names = new Map([
    [bos, ""],
    [pad, ""],
    [startOfTurn, "\x01"],
    [endOfTurn, "\x02"],
  ]);
  const text = ids.map((id) => names.get(id) ?? String.fromCharCode(id - firstByte)).join("");
  return [...text.matchAll(/\x01(\w+)\n([^\x01\x02]+)\x02/g)].map(([, role = "", content = ""]) => ({ role, content }));
}
