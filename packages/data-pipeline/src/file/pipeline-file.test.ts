import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { parsePipeline } from "./pipeline-file.js";

const text = `sources:
  web: { read: ./web/*.warc.gz, licence: mixed, extract: main-text, damaged: accept }
  maths:
    read: [./maths/*.parquet, ./more]
    text: content
    id: key
    licence: CC0-1.0
stages:
  - measure: [language, gopher, quality]
  - rules:
      language: 'language != "en" and source != "code"'
      quality: quality.prose < 0.35 unless source in [maths, code]
    expect: 80%
  - redact: { email: <email>, ssn: drop }
  - tokenize: { train: { size: 256k, from: 2GB } }
out: ./data/v3
shard: 64MB
`;

/** The keys that the first file lacks. */
const others = `sources:
  web: { read: ./web/*.jsonl, licence: mixed }
stages:
  - measure: { of: [gopher], words: whitespace, models: {} }
  - dedup: { exact: { scope: all }, near: { grams: 5, buckets: 14, hashes: 8 }, substring: { bytes: 100, keep: 1 }, keep_by: [length, id] }
  - decontaminate: { items: "${join(import.meta.dirname, "*.test.js")}", rule: own, also_report: [gpt3-13], frequent: { documents: 9 } }
  - tokenize: { tokenizer: ./m.model }
out: ./x
`;

function errorOf(changed: string): LapidaryError {
  try {
    parsePipeline(changed, "/p/pipeline.yaml");
  } catch (error) {
    if (error instanceof LapidaryError) return error;
    throw error;
  }
  throw new Error("the file has no mistake");
}

describe("pipeline files", () => {
  it("a file gives sources, stages with amounts, shares and absolute paths", () => {
    const { sources, stages, out, shardBytes } = parsePipeline(text, "/p/pipeline.yaml");
    deepStrictEqual(Object.keys(sources), ["maths", "web"]);
    deepStrictEqual([out, shardBytes, sources["web"]?.damaged, sources["maths"]?.damaged], ["/p/data/v3", 64e6, "accept", "error"]);
    deepStrictEqual(
      stages.map(({ stage, expect }) => [stage, expect]),
      [
        ["measure", 0.6],
        ["rules", 0.8],
        ["redact", 0.6],
        ["tokenize", 0.6],
      ],
    );
    deepStrictEqual(stages[3]?.settings, { train: { size: 256_000, from: 2e9 } });
  });

  /** Every key that a schema defines, with a letter too many. */
  const keys: readonly (readonly [text: string, keys: readonly string[]])[] = [
    [
      text,
      "sources read licence extract damaged text id stages measure rules expect redact email ssn tokenize train size from out shard".split(
        " ",
      ),
    ],
    [
      others,
      [
        ..."of words models dedup exact scope near grams buckets hashes substring bytes keep keep_by".split(" "),
        ..."decontaminate items rule also_report frequent documents tokenizer".split(" "),
      ],
    ],
  ];
  for (const [file, key] of keys.flatMap(([each, names]) => names.map((name) => [each, name] as const)))
    it(`a misspelt key ${key} is an error at its line and column that names the key`, () => {
      const pattern = new RegExp(`(^|[\\s{,])${key}:`, "m");
      const found = pattern.exec(file);
      ok(found !== null);
      const offset = found.index + (found[1] ?? "").length;
      const misspelt = `${key.slice(0, -1)}x${key.slice(-1)}`;
      const error = errorOf(file.replace(pattern, `$1${misspelt}:`));
      const before = file.slice(0, offset).split("\n");
      const location = `/p/pipeline.yaml:${before.length}:${(before.at(-1) ?? "").length + 1}`;
      deepStrictEqual([error.code, error.location], ["LAP_DATA_PIPELINE", location], error.message);
      match(error.message, new RegExp(`unknown key ${misspelt}`));
      match(error.remedy, new RegExp(`write ${key}$`));
    });

  it("the second file has no mistake, and each method of dedup is a stage of its own", () => {
    strictEqual(parsePipeline(others, "/p/pipeline.yaml").stages.length, 6);
  });

  const mistakes: readonly [from: string, to: string, line: number, message: RegExp, remedy: RegExp][] = [
    ["main-text", "maintext", 2, /extract has an unknown value "maintext"/, /main-text/],
    ["licence: mixed, ", "", 2, /licence/, /./],
    ["[language, gopher, quality]", "[language, gofer]", 9, /unknown value "gofer"/, /gopher/],
    ["80%", "180%", 13, /share/, /./],
    ["size: 256k", "size: many", 15, /256k or 2GB/, /./],
    ["  - redact: { email: <email>, ssn: drop }\n", "  - redact: { email: <email> }\n    measure: [pii]\n", 14, /exactly one stage/, /- /],
    ["quality.prose < 0.35", "quality.pros < 0.35", 12, /unknown column quality\.pros/, /quality\.prose/],
    ["[language, gopher, quality]", "[language, gopher]", 12, /unknown column quality\.prose/, /./],
    ["out: ./data/v3", "out: &x ./data/v3", 16, /anchors/, /./],
    ["shard: 64MB", "shard: [", 18, /not YAML/, /syntax/],
  ];
  for (const [from, to, line, message, remedy] of mistakes)
    it(`${JSON.stringify(to)} instead of ${JSON.stringify(from)} is an error at line ${line}`, () => {
      const error = errorOf(text.replace(from, to));
      match(error.message, message);
      match(error.remedy, remedy);
      strictEqual(error.location?.split(":")[1], String(line), error.location);
    });

  it("a stage after tokenize has no effect, and is an error", () => {
    const moved = text.replace("  - redact: { email: <email>, ssn: drop }\n", "").replace("out:", "  - redact: { email: <email> }\nout:");
    match(errorOf(moved).message, /after tokenize/);
  });

  it("a pipeline without sources, and a text that is not a mapping, are refused", () => {
    for (const bad of ["", "- a\n", "sources: {}\nstages: [{ measure: [gopher] }]\nout: x\n"])
      throws(() => parsePipeline(bad, "/p/pipeline.yaml"), { code: "LAP_DATA_PIPELINE" });
  });
});
