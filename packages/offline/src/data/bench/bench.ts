import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readTree } from "@lapidary/readers";
import { LapidaryError } from "@lapidary/std";
import { asUnigram, trainSentencePiece } from "@lapidary/tokenizer";
import { z } from "zod";
import type { Reporter } from "../../reporter.js";
import { fixtureRows } from "../judge/fixtures.js";
import { repeatedTexts, writeCorpus } from "./corpus.js";
import { oneCore } from "./one-core.js";
import { output, Peer, type PeerVersions } from "./peer.js";
import { type StageTimes, stageTimes } from "./run-stage.js";
import type { Stage, StageFiles } from "./stage.js";
import { stageOf, stages } from "./stages.js";

export interface BenchRequest {
  /** The directory of fixtures. Without `input`, its texts are the corpus. Absolute. */
  readonly fixtures: string;
  /** A directory with texts; absolute. */
  readonly input?: string | undefined;
  /** The texts are repeated with changes up to this size. Without it, those of `input` are used once. */
  readonly megabytes?: number | undefined;
  /** Names of stages; all by default. */
  readonly stages: readonly string[];
  /** A directory that keeps what the stages write; absolute. */
  readonly output?: string | undefined;
  /** A SentencePiece model; absolute. By default one of 256,000 pieces is trained on the corpus. */
  readonly tokenizer?: string | undefined;
  /** A Python with datatrove and sentencepiece. */
  readonly peer?: string | undefined;
  readonly repetitions: number;
  readonly env: NodeJS.ProcessEnv;
}

export interface StageReport {
  readonly stage: string;
  readonly ours: StageTimes;
  /** MB of text for each second of processor time. */
  readonly mb_per_s: number;
  readonly peer?: { readonly name: string; readonly times: StageTimes; readonly mb_per_s: number } | undefined;
  /** Our speed divided by that of the peer: the median over repetitions, each of which runs both one after the other on the same core. */
  readonly ratio?: number | undefined;
  readonly goal?: number | undefined;
}

export interface BenchReport {
  readonly corpus: string;
  /** Undefined if the processes could not be bound to a core. */
  readonly core: number | undefined;
  readonly repetitions: number;
  readonly peer: PeerVersions | undefined;
  readonly stages: readonly StageReport[];
}

const defaultMegabytes = 16;
/** Gemma's vocabulary has so many pieces. */
const vocabSize = 256_000;
/** The tokenizer is trained on at most so many bytes of the corpus. */
const trainingBytes = 32e6;
/** datatrove reads a part of the corpus of this size, because it takes minutes for the whole. */
const peerMegabytes = 2;
const stageMain = fileURLToPath(new URL("stage-main.js", import.meta.url));

/**
 * Times stages of a data pipeline, each in a process of its own on one core; those of the peer in turn with ours.
 *
 * @throws LapidaryError LAP_BENCH_…, LAP_FIXTURES, LAP_DATA_…, LAP_FILE_…
 */
export async function benchData(request: BenchRequest, reporter: Pick<Reporter, "progress">): Promise<BenchReport> {
  const chosen = request.stages.length === 0 ? stages : request.stages.map(stageOf);
  const peer = request.peer === undefined ? undefined : await Peer.find(request.peer, request.env);
  const work = mkdtempSync(join(tmpdir(), "lapidary-bench-"));
  try {
    reporter.progress("make the corpus");
    const corpus = await corpusIn(work, request);
    const files = await filesFor(chosen, work, corpus, request, reporter);
    const { core, pin } = await oneCore(request.env);
    const run: StageRunner = { chosen, peer, work, corpus, files, pin, request, reporter };
    return {
      corpus: request.input ?? request.fixtures,
      core,
      repetitions: request.repetitions,
      peer: peer?.versions,
      stages: await measured(run),
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

interface StageRunner {
  readonly chosen: readonly Stage[];
  readonly peer: Peer | undefined;
  readonly work: string;
  readonly corpus: string;
  readonly files: StageFiles;
  readonly pin: readonly string[];
  readonly request: BenchRequest;
  readonly reporter: Pick<Reporter, "progress">;
}

interface Pair {
  readonly ours: StageTimes;
  readonly peer: StageTimes | undefined;
}

async function measured(run: StageRunner): Promise<StageReport[]> {
  const { chosen, peer, work, corpus, request, reporter } = run;
  const part = join(work, "part");
  if (peer !== undefined && chosen.some((stage) => stage.peer === "datatrove")) await writePart(part, corpus);
  const pairs = chosen.map((): Pair[] => []);
  for (let repetition = 1; repetition <= request.repetitions; repetition++)
    for (const [i, stage] of chosen.entries()) {
      const state = `repetition ${repetition} of ${request.repetitions}`;
      reporter.progress(`measure ${stage.name}`, state);
      const ours = await runOurs(run, stage);
      if (peer?.has(stage) !== true) pairs[i]?.push({ ours, peer: undefined });
      else {
        reporter.progress(`measure ${stage.name} of ${stage.peer}`, state);
        pairs[i]?.push({ ours, peer: await runPeer(run, peer, stage, stage.peer === "datatrove" ? part : corpus) });
      }
    }
  return chosen.map((stage, i) => reportOf(stage, pairs[i] ?? []));
}

async function runOurs({ work, corpus, files, pin, request }: StageRunner, stage: Stage): Promise<StageTimes> {
  const directory = request.output ?? join(work, "ours");
  await mkdir(directory, { recursive: true });
  const input = { stage: stage.name, corpus, output: join(directory, stage.name), files };
  return stageTimes.parse(await output([...pin, process.execPath, stageMain, JSON.stringify(input)], request.env));
}

async function runPeer({ work, files, pin, request }: StageRunner, peer: Peer, stage: Stage, corpus: string): Promise<StageTimes> {
  const directory = join(work, "peer");
  rmSync(directory, { recursive: true, force: true });
  const model = stage.name === "tokenize-unigram" ? files.unigram : files.tokenizer;
  return peer.run(pin, stage.name, [corpus, directory, join(request.fixtures, "decontamination/evals.jsonl"), model]);
}

function reportOf(stage: Stage, pairs: readonly Pair[]): StageReport {
  const ours = medianBy(pairs, (pair) => speedOf(pair.ours)).ours;
  const both = pairs.flatMap(({ ours: own, peer }) => (peer === undefined ? [] : [{ peer, ratio: speedOf(own) / speedOf(peer) }]));
  const goal = stage.goal === undefined ? {} : { goal: stage.goal };
  const report = { stage: stage.name, ours, mb_per_s: speedOf(ours), ...goal };
  if (both.length === 0 || stage.peer === undefined) return report;
  const times = medianBy(both, ({ peer }) => speedOf(peer)).peer;
  return {
    ...report,
    peer: { name: stage.peer, times, mb_per_s: speedOf(times) },
    ratio: medianBy(both, ({ ratio }) => ratio).ratio,
  };
}

/** By processor time of all threads, because other programs may use the core too. */
const speedOf = ({ bytes, cpu_s }: StageTimes): number => bytes / 1e6 / cpu_s;

/** The item whose number is the lower median. `items` has one or more. */
function medianBy<T>(items: readonly T[], number: (item: T) => number): T {
  const found = items.toSorted((a, b) => number(a) - number(b))[(items.length - 1) >> 1];
  if (found === undefined) throw new RangeError("a median of no items");
  return found;
}

/** The directory of the corpus: that of the input, or one with texts that are repeated. */
async function corpusIn(work: string, { fixtures, input, megabytes }: BenchRequest): Promise<string> {
  if (input !== undefined && megabytes === undefined) return input;
  const texts = input === undefined ? fixtureTexts(fixtures) : await textsOf(input);
  if (texts.length === 0) throw emptyCorpus(input ?? fixtures);
  const directory = join(work, "corpus");
  await mkdir(directory);
  writeCorpus(join(directory, "00.jsonl"), repeatedTexts(texts, (megabytes ?? defaultMegabytes) * 1e6));
  return directory;
}

const row = z.object({ text: z.string() });

const fixtureTexts = (fixtures: string): string[] =>
  ["filters", "classify", "decontamination"].flatMap((name) =>
    fixtureRows(fixtures, `${name}/documents.jsonl`, row).flatMap(({ text }) => (text.trim() === "" ? [] : [text])),
  );

async function textsOf(root: string, bytes = Number.POSITIVE_INFINITY): Promise<string[]> {
  const texts: string[] = [];
  let size = 0;
  for await (const { text } of readTree({ root, source: "bench", onFile: () => undefined })) {
    if (size >= bytes) break;
    size += Buffer.byteLength(text);
    texts.push(text);
  }
  return texts;
}

async function writePart(directory: string, corpus: string): Promise<void> {
  await mkdir(directory);
  writeCorpus(join(directory, "00.jsonl"), await textsOf(corpus, peerMegabytes * 1e6));
}

/** Makes the models that the stages need and the user did not give. */
async function filesFor(
  chosen: readonly Stage[],
  work: string,
  corpus: string,
  { fixtures, tokenizer }: BenchRequest,
  reporter: Pick<Reporter, "progress">,
): Promise<StageFiles> {
  const files = { fixtures, tokenizer: tokenizer ?? join(work, "tokenizer.model"), unigram: join(work, "unigram.model") };
  if (!chosen.some(({ peer }) => peer === "SentencePiece")) return files;
  const texts = await textsOf(corpus, trainingBytes);
  if (texts.length === 0) throw emptyCorpus(corpus);
  if (!existsSync(files.tokenizer)) {
    const { file } = trainSentencePiece(texts, {
      vocabSize,
      onProgress: (done, total) => reporter.progress("train the tokenizer", `${done} of ${total} pieces`),
    });
    writeFileSync(files.tokenizer, file);
  }
  if (chosen.some(({ name }) => name === "tokenize-unigram"))
    writeFileSync(files.unigram, asUnigram(readFileSync(files.tokenizer), files.tokenizer, texts));
  return files;
}

const emptyCorpus = (location: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_EMPTY", message: "the corpus contains no text", location, remedy: "give a directory with texts" });
