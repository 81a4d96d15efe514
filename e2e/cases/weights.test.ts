import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isOfType } from "@lapidary/api/run-events";
import { type ArrayData, f32Array, readHfCheckpoint, readSafetensors, writeSafetensors } from "@lapidary/interop";
import { ensure } from "@lapidary/std";
import { caseInput } from "../support/cases.js";
import { type Ended, Home } from "../support/cli.js";

const job = caseInput("24-head-that-differs/job.yaml");
const head = caseInput("24-head-that-differs/checkpoint");
const bare = caseInput("27-names-without-model/checkpoint");
const embedding = "model.embed_tokens.weight";

/** Every tensor of a checkpoint is used, is redundant, or is named in an error. If a path is not a checkpoint, the error says what it is. */
describe("weights that are dropped", function () {
  this.timeout(180_000);
  let home: Home;
  before(() => {
    home = new Home();
  });
  after(() => home.clear());

  const refused = ({ code, stderr, stdout }: Ended, error: string, ...texts: RegExp[]): void => {
    equal(code, 2, `${stdout}\n${stderr}`);
    match(stderr, new RegExp(`error ${error}: `));
    for (const text of texts) match(stderr, text);
  };
  /** A checkpoint with the config.json of another and these tensors. */
  const checkpoint = async (name: string, config: string, tensors: ReadonlyMap<string, ArrayData>): Promise<string> => {
    const directory = join(home.directory, name);
    mkdirSync(directory);
    writeFileSync(join(directory, "config.json"), readFileSync(join(config, "config.json")));
    await writeSafetensors(join(directory, "model.safetensors"), tensors);
    return directory;
  };
  const usual = async (): Promise<Map<string, ArrayData>> => (await readHfCheckpoint(bare)).tensors;

  describe("24: an output head that differs from the embedding", () => {
    it("every command that reads the checkpoint rejects it by name and with a remedy", async () => {
      const commands = [
        ["ckpt", "verify", head],
        ["ckpt", "inspect", head],
        ["ckpt", "export", head, "-o", "out-head"],
        ["launch", job],
        ["export", job, "-o", "out-xla", "--no-data"],
        ["config", "validate", job],
      ];
      for (const args of commands.slice(0, -1))
        refused(
          await home.run(...args),
          "LAP_CHECKPOINT_TENSOR",
          /lm_head\.weight: it differs from model\.embed_tokens\.weight/,
          /remedy: remove lm_head\.weight .* or tie it/,
        );
      match((await home.run(...ensure(commands.at(-1), "command"))).stdout, /LAP_CHECKPOINT_TENSOR[^]*train\.init/);
      ok(!existsSync(join(home.directory, "out-head/model.safetensors")));
    });

    it("a head that equals the embedding bit for bit is skipped, and the export is complete without it", async () => {
      const tensors = await usual();
      const tied = await checkpoint("tied", head, new Map([...tensors, ["lm_head.weight", ensure(tensors.get(embedding), embedding)]]));
      const { redundant, ok: whole } = await home.json("ckpt", "verify", tied);
      deepStrictEqual([whole, redundant], [true, ["lm_head.weight"]]);
      await home.json("ckpt", "export", tied, "-o", "out-tied");
      deepStrictEqual((await readHfCheckpoint(join(home.directory, "out-tied"))).tensors, tensors);
      ok(!(await readSafetensors(join(home.directory, "out-tied/model.safetensors"))).has("lm_head.weight"));
    });

    it("a head of another shape, or with config.json that unties it, is rejected", async () => {
      const tensors = await usual();
      const { dims, data } = ensure(tensors.get(embedding), embedding);
      const other = f32Array([...dims].reverse(), data);
      const turned = await checkpoint("turned", head, new Map([...tensors, ["lm_head.weight", other]]));
      refused(
        await home.run("ckpt", "verify", turned),
        "LAP_CHECKPOINT_TENSOR",
        /lm_head\.weight: its shape is \[16, 300\], the shape of the embedding \[300, 16\]/,
      );
      const config = JSON.parse(readFileSync(join(head, "config.json"), "utf8")) as object;
      writeFileSync(join(turned, "config.json"), JSON.stringify({ ...config, tie_word_embeddings: false }));
      refused(await home.run("ckpt", "verify", turned), "LAP_CHECKPOINT_CONFIG", /tie_word_embeddings is false/);
    });
  });

  describe("27: names without the leading model.", () => {
    it("names without the prefix are read as the same parameters, with a warning", async () => {
      const { stderr, stdout, code } = await home.run("ckpt", "inspect", bare, "--json");
      equal(code, 0, stderr);
      match(
        stderr,
        /warning LAP_CHECKPOINT_NAMES: .*lack the prefix "model\.": embed_tokens\.weight is read as model\.embed_tokens\.weight/,
      );
      const { tensors, warnings } = JSON.parse(stdout) as { tensors: { name: string }[]; warnings: { code: string }[] };
      deepStrictEqual([tensors.length, tensors[0]?.name, warnings.map(({ code: one }) => one)], [20, embedding, ["LAP_CHECKPOINT_NAMES"]]);
      await home.json("ckpt", "export", bare, "-o", "out-bare");
      deepStrictEqual((await home.json("ckpt", "verify", "out-bare"))["warnings"], []);
    });

    it("an error has prefix and name if one parameter lacks the prefix of the others", async () => {
      const mixed = new Map(
        [...(await usual())].map(([name, array]) => [name === "model.norm.weight" ? name : `base_model.${name}`, array]),
      );
      refused(
        await home.run("ckpt", "inspect", await checkpoint("mixed", bare, mixed)),
        "LAP_CHECKPOINT_TENSOR",
        /tensor model\.norm\.weight: missing from the checkpoint .*extra prefix "base_model\."/,
      );
    });
  });

  describe("34: a checkpoint that was cloned without its large files", () => {
    it("an error reports an LFS pointer, with the size of the real file and the remedy", async () => {
      const pointer = caseInput("34-lfs-pointer/checkpoint");
      for (const command of ["verify", "inspect"])
        refused(
          await home.run("ckpt", command, pointer),
          "LAP_FILE_KIND",
          /model\.safetensors is not a safetensors file: it is a Git LFS pointer of 135 bytes.* has 4945242264 bytes/,
          /remedy: .*`git lfs pull`/,
        );
    });

    it("an error distinguishes it from a page and from an answer of a server", async () => {
      const directory = await checkpoint("page", bare, await usual());
      const file = join(directory, "model.safetensors");
      writeFileSync(file, "<!doctype html>\n<html><title>401 Unauthorized</title>");
      refused(
        await home.run("ckpt", "verify", directory),
        "LAP_FILE_KIND",
        /web page that starts with "<!doctype html> <html><title>401/,
        /hf auth login/,
      );
      writeFileSync(file, '{"error":"Access to model google/gemma-2b is restricted."}');
      refused(await home.run("ckpt", "verify", directory), "LAP_FILE_KIND", /JSON text that starts with .*is restricted/);
    });
  });

  describe("40: weights in another form", () => {
    it("an error reports pickled weights, with the call that converts them", async () => {
      refused(
        await home.run("ckpt", "inspect", caseInput("40-weights-in-another-form/bin-only")),
        "LAP_CHECKPOINT_FORM",
        /pickled weights of PyTorch \(pytorch_model\.bin\)/,
        /save_pretrained\(NEW_DIRECTORY, safe_serialization=True\)/,
      );
    });

    it("an error reports an adapter and its base model, with the call that merges them", async () => {
      refused(
        await home.run("ckpt", "inspect", caseInput("40-weights-in-another-form/adapter-only")),
        "LAP_CHECKPOINT_FORM",
        /an adapter of kind LORA \(adapter_config\.json, adapter_model\.safetensors\) for the base model "google\/gemma-2b"/,
        /merge_and_unload\(\)/,
      );
    });

    it("sample, parity and a job that starts from them name them", async () => {
      const bin = caseInput("40-weights-in-another-form/bin-only");
      for (const args of [
        ["parity", bin],
        ["launch", job, `train.init=${bin}`],
        ["sample", bin, "x"],
      ])
        refused(await home.run(...args), "LAP_CHECKPOINT_FORM", /pickled weights/);
    });
  });

  describe("a job that starts from a checkpoint", () => {
    before(() => home.json("up", "--workers", "1"));

    it("a job trains from weights without the prefix, and its log reports it", async () => {
      // Both checkpoints lack a tokenizer, which a job would need, because this test is about weights.
      await home.json("launch", job, `train.init=${bare}`, "data.tokenizer=train", "--name", "from-bare");
      const warnings = (await home.events("from-bare")).filter(isOfType("warning_found"));
      ok(
        warnings.some(({ code, message }) => code === "LAP_CHECKPOINT_NAMES" && message.includes('lack the prefix "model."')),
        JSON.stringify(warnings),
      );
    });

    it("a job with a weight that is not finite fails before it trains, with tensor, element and count", async () => {
      const tensors = await usual();
      const { dims, data } = ensure(tensors.get("model.layers.1.mlp.up_proj.weight"), "tensor");
      const broken = f32Array(
        dims,
        data.map((value, i) => (i === 17 || i === 40 ? Number.NaN : value)),
      );
      const directory = await checkpoint("not-finite", bare, tensors.set("model.layers.1.mlp.up_proj.weight", broken));
      const { code, stderr } = await home.run("launch", job, `train.init=${directory}`, "data.tokenizer=train", "--name", "from-nan");
      ok(code !== 0);
      match(stderr, /LAP_CHECKPOINT_NOT_FINITE: .*2 of 512 elements are NaN or infinite; the first, \[1, 1\], is NaN/);
      match(stderr, /not-finite\/model\.safetensors: tensor "model\.layers\.1\.mlp\.up_proj\.weight"/);
      equal((await home.json("jobs", "get", "from-nan"))["step"], 0);
    });
  });
});
