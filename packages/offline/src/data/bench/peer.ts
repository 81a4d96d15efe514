import { fileURLToPath } from "node:url";
import { LapidaryError } from "@lapidary/std";
import { runToEnd } from "@lapidary/tpu-compiler";
import { z } from "zod";
import { type StageTimes, stageTimes } from "./run-stage.js";
import type { Stage } from "./stage.js";

const script = fileURLToPath(new URL("../../../assets/bench_data.py", import.meta.url));
const packages = { datatrove: "datatrove", SentencePiece: "sentencepiece" } as const;
const versionsSchema = z.object({ datatrove: z.string().optional(), sentencepiece: z.string().optional() });

export type PeerVersions = Readonly<z.infer<typeof versionsSchema>>;

/** One thread, the same order of Python's sets in each run, and no reports. */
const oneThread = {
  OMP_NUM_THREADS: "1",
  RAYON_NUM_THREADS: "1",
  TOKENIZERS_PARALLELISM: "false",
  PYTHONHASHSEED: "0",
  LOGURU_LEVEL: "ERROR",
  DATATROVE_COLORIZE_LOGS: "0",
};

/** The Python programs that the benchmark compares with. */
export class Peer {
  private constructor(
    readonly python: string,
    readonly versions: PeerVersions,
    readonly env: NodeJS.ProcessEnv,
  ) {}

  /** @throws LapidaryError LAP_BENCH_PEER if the interpreter cannot run, or has none of the packages */
  static async find(python: string, env: NodeJS.ProcessEnv): Promise<Peer> {
    const own = { ...env, ...oneThread };
    const versions = versionsSchema.parse(await output([python, script, "versions"], own));
    if (Object.keys(versions).length === 0) throw peerError(python, "it has neither datatrove nor sentencepiece");
    return new Peer(python, versions, own);
  }

  /** Whether this Python has the package of a stage. */
  has(stage: Stage): boolean {
    return stage.peer !== undefined && this.versions[packages[stage.peer]] !== undefined;
  }

  /** @param pin the words before a command that bind it to a core */
  async run(pin: readonly string[], stage: string, paths: readonly string[]): Promise<StageTimes> {
    return stageTimes.parse(await output([...pin, this.python, script, stage, ...paths], this.env));
  }
}

/** The last line that a process prints, as JSON. */
export async function output(command: readonly string[], env: NodeJS.ProcessEnv): Promise<unknown> {
  const [program = "", ...args] = command;
  const { code, stdout, stderr } = await runToEnd(program, args, { env }).catch((error: unknown) => {
    throw peerError(program, error instanceof Error ? error.message : String(error));
  });
  const last = stdout.trimEnd().split("\n").at(-1) ?? "";
  if (code !== 0 || last === "") throw peerError(program, stderr.trim().split("\n").slice(-4).join("\n") || `exit code ${code}`);
  return JSON.parse(last);
}

const peerError = (program: string, message: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_BENCH_PEER",
    message: `a program of the benchmark failed: ${message}`,
    location: program,
    remedy: "give a Python with datatrove 0.10, spacy and sentencepiece, or leave --peer out",
  });
