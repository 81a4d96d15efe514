import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { caseInput, tinyJob } from "../support/cases.js";
import { type Ended, Home } from "../support/cli.js";

const wrong = [
  ["no-corpus.yaml", "LAP_DATA_MISSING", /no-corpus\.yaml:11:9: data\.corpus: .*bok\.txt/],
  ["no-init.yaml", "LAP_CHECKPOINT_MISSING", /no-init\.yaml:8:3: train\.init: .*nowhere/],
  ["small-vocab.yaml", "LAP_DATA_VOCABULARY", /small-vocab\.yaml:2:22: model\.vocab_size/],
] as const;
const file = (name: string): string => caseInput("60-errors-at-launch", name);

/** `launch` refuses a job with a problem that is already known on this machine, before the job runs. */
describe("60: mistakes that are known at launch", function () {
  this.timeout(180_000);
  let home: Home;
  before(() => {
    home = new Home();
  });
  after(() => home.clear());

  const refused = ({ code, stderr, stdout }: Ended, error: string, place: RegExp): void => {
    equal(code, 2, `${stdout}\n${stderr}`);
    match(stderr, new RegExp(`error ${error}: `));
    match(stderr, place);
  };

  it("config validate reports the mistakes of each file, and accepts a correct file", async () => {
    const { code, stdout } = await home.run("config", "validate", ...wrong.map(([name]) => file(name)), tinyJob, "--json");
    equal(code, 2);
    const { files } = JSON.parse(stdout) as { files: { ok: boolean; error: { code: string; place: string } | null }[] };
    deepStrictEqual(
      files.map((each) => each.error?.code ?? "ok"),
      [...wrong.map(([, error]) => error), "ok"],
    );
    for (const [at, [, , place]] of wrong.entries()) match(files[at]?.error?.place ?? "", place);
  });

  it("launch rejects them without a coordinator, with the line of the file or the override", async () => {
    for (const [name, error, place] of wrong) refused(await home.run("launch", file(name), "-d"), error, place);
    refused(await home.run("launch", tinyJob, "data.vocab=128", "-d"), "LAP_DATA_VOCABULARY", /override data\.vocab=128: data\.vocab/);
  });

  it("launch rejects a corpus that is a pipe, a device, binary, empty, or too small for one batch", async () => {
    const at = (name: string): string => join(home.directory, name);
    execFileSync("mkfifo", [at("pipe")]);
    writeFileSync(at("binary"), Buffer.from(Array.from({ length: 400_000 }, (_, i) => 128 + (i % 100))));
    writeFileSync(at("empty.txt"), "");
    mkdirSync(at("folder"));
    writeFileSync(at("short.txt"), "One sentence.\n\nAnother one, of the same length.\n");
    writeFileSync(at("lines.jsonl"), '{"body": "no text"}\n');
    for (const [corpus, error] of [
      ["pipe", "LAP_DATA_UNREADABLE"],
      ["/dev/zero", "LAP_DATA_UNREADABLE"],
      ["binary", "LAP_DATA_NOT_UTF8"],
      ["empty.txt", "LAP_DATA_EMPTY"],
      ["folder", "LAP_DATA_EMPTY"],
      ["short.txt", "LAP_DATA_TOO_SMALL"],
      ["lines.jsonl", "LAP_DATA_\\w+"],
    ] as const)
      refused(await home.run("launch", tinyJob, `data.corpus=${corpus}`, "-d"), error, /override data\.corpus=.*: data\.corpus/);
  });

  it("launch rejects a checkpoint of another model, and one whose weights do not fit its config.json", async () => {
    const bare = caseInput("27-names-without-model/checkpoint");
    refused(
      await home.run("launch", tinyJob, `train.init=${bare}`, "-d"),
      "LAP_INIT_MISMATCH",
      /model\.vocab_size is 300 in the checkpoint and 512 in the job/,
    );
    const copy = join(home.directory, "copy");
    cpSync(bare, copy, { recursive: true });
    const config = JSON.parse(readFileSync(join(copy, "config.json"), "utf8")) as object;
    writeFileSync(join(copy, "config.json"), JSON.stringify({ ...config, num_hidden_layers: 3 }));
    refused(
      await home.run("launch", tinyJob, `train.init=${copy}`, "-d"),
      "LAP_CHECKPOINT_TENSOR",
      /have 2 layers, config\.json requires 3/,
    );
  });

  describe("with a coordinator", () => {
    let api: { readonly port: number; readonly token: string };
    before(async () => {
      await home.json("up", "--workers", "1");
      api = JSON.parse(readFileSync(join(home.state, "coordinator.json"), "utf8")) as typeof api;
    });
    const post = async (path: string, body: object): Promise<{ status: number; error?: { code: string; place: string } }> => {
      const answer = await fetch(`http://127.0.0.1:${api.port}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${api.token}` },
        body: JSON.stringify(body),
      });
      return { status: answer.status, ...((await answer.json()) as object) };
    };

    it("the API rejects them as on the launch page, and keeps no run", async () => {
      for (const [name, code, place] of wrong) {
        const yaml = readFileSync(file(name), "utf8").replace("../common/book.txt", caseInput("common/book.txt"));
        const inLine = new RegExp(place.source.replace(name.replace(".", "\\."), "job"));
        for (const [path, body] of [
          ["/api/jobs", { yaml, base: caseInput("60-errors-at-launch") }],
          ["/api/validate", { yaml }],
        ] as const) {
          const { status, error } = await post(path, body);
          deepStrictEqual([status, error?.code], [400, code], path);
          match(error?.place ?? "", inLine);
        }
      }
      deepStrictEqual((await home.json("jobs", "list"))["jobs"], []);
    });

    it("the inputs are checked again when the job starts, and when it is resumed", async () => {
      const corpus = join(home.directory, "corpus");
      await home.json("launch", home.job, "train.steps=1000000", "--name", "first", "-d");
      await home.json("launch", home.job, "train.steps=1", "--name", "second", "-d");
      renameSync(corpus, `${corpus}-moved`);
      await home.json("jobs", "cancel", "first");
      await home.run("jobs", "wait", "second");
      const { state, error } = (await home.json("jobs", "get", "second")) as { state: string; error: { code: string; place: string } };
      deepStrictEqual([state, error.code], ["failed", "LAP_DATA_MISSING"]);
      ok(error.place.startsWith(`data.corpus: ${corpus}`), error.place);
      refused(await home.run("jobs", "resume", "second"), "LAP_DATA_MISSING", /data\.corpus/);
      renameSync(`${corpus}-moved`, corpus);
      await home.json("jobs", "resume", "second");
      equal((await home.json("jobs", "wait", "second"))["state"], "done");
    });

    it("launch accepts the name of a run as its last checkpoint, and rejects the path of a run and a missing step", async () => {
      const from = async (init: string): Promise<Ended> => home.run("launch", home.job, `train.init=${init}`, "-d");
      const named = (await home.json("launch", home.job, "train.init=second", "train.steps=1", "--name", "third", "-d")) as { id: string };
      equal((await home.json("jobs", "wait", named.id))["state"], "done");
      const { job } = (await home.json("jobs", "get", "third")) as { job: { train: { init: string } } };
      equal(job.train.init, join(home.state, "runs/second/checkpoints/step-1"));
      refused(await from("./second"), "LAP_CHECKPOINT_MISSING", /remedy: second is a run: .* such as .*second\/checkpoints\/step-1\n/);
      const checkpoints = join(home.state, "runs/second/checkpoints");
      refused(await from(join(checkpoints, "step-9000")), "LAP_CHECKPOINT_MISSING", /remedy: .*step-1/);
      refused(await from(join(home.state, "runs/second")), "LAP_CHECKPOINT_FORM", /remedy: give one of them: .*checkpoints\/step-1\n/);
    });
  });
});
