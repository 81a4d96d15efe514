import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { seededRandom } from "@lapidary/std";
import type { StreamEvent } from "@lapidary/api";
import { CoordinatorClient } from "@lapidary/api/client";
import { type Coordinator, type CoordinatorOptions, startCoordinator } from "../coordinator.js";
import { isProcessAlive } from "@lapidary/std/process-id";
import { chooseRedis } from "@lapidary/control";

/** Seen from packages/coordinator/dist/testing. */
export const projectRoot = resolve(fileURLToPath(import.meta.url), "../../../../..");

/** A home directory with a corpus, and the coordinators that serve it one after the other. */
export class Harness {
  readonly directory = mkdtempSync(join(tmpdir(), "lapidary-e2e-"));
  readonly home = join(this.directory, "home");
  readonly corpus = join(this.directory, "corpus");
  #coordinator: Coordinator | undefined;

  constructor() {
    mkdirSync(this.corpus);
    for (let i = 0; i < 8; i++) writeFileSync(join(this.corpus, `${i}.txt`), prose(i, 3000));
  }

  async start(change: Partial<CoordinatorOptions> = {}): Promise<CoordinatorClient> {
    const redis = change.redis ?? (await chooseRedis("auto", projectRoot, process.env));
    this.#coordinator = await startCoordinator({
      home: this.home,
      root: projectRoot,
      port: 0,
      redis,
      workers: 2,
      environment: process.env,
      ...change,
    });
    return this.client;
  }

  get client(): CoordinatorClient {
    if (this.#coordinator === undefined) throw new Error("no coordinator was started");
    return new CoordinatorClient(this.#coordinator);
  }

  async stop(): Promise<void> {
    await this.#coordinator?.stop();
    this.#coordinator = undefined;
  }

  /** Ends all running coordinators. */
  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A job file for a small model; later keys replace earlier ones. */
  job({
    steps = 4,
    slice = "8x16",
    mesh = "{ data: 8, model: 16 }",
    more = "",
    train = "",
  }: {
    steps?: number;
    slice?: string;
    mesh?: string;
    more?: string;
    train?: string;
  } = {}): string {
    return `
model: nano16
pod: v5e-256
slice: ${slice}
mesh: ${mesh}
zero: 3
train:
  steps: ${steps}
  batch: 16
  optimizer: { name: adamw, lr: 3.0e-3 }
${train}
data: { corpus: ${this.corpus}, held_out: 0.1 }
${more}
`;
  }
}

/** More steps than any test waits for. */
export const endless = 1_000_000;

/** Reads the events of a job until `isWanted` accepts one. */
export async function eventOf(client: CoordinatorClient, id: string, wanted: (event: StreamEvent) => boolean): Promise<StreamEvent> {
  for await (const event of client.stream(id)) {
    if (wanted(event)) return event;
    if (event.event === "done") throw new Error(`job ${id} ended before: ${JSON.stringify(event.data)}`);
  }
  throw new Error(`the stream of job ${id} ended`);
}

/** Resolves when the metrics of a train step arrive. */
export const trains = async (client: CoordinatorClient, id: string): Promise<void> => {
  await eventOf(client, id, ({ event, data }) => event === "metrics" && "loss" in data);
};

/** The state in which the job ended. */
export async function endOf(client: CoordinatorClient, id: string): Promise<Extract<StreamEvent, { event: "done" }>["data"]> {
  const event = await eventOf(client, id, ({ event: kind }) => kind === "done");
  if (event.event !== "done") throw new Error("unreachable");
  return event.data;
}

export const aliveOf = (pids: readonly number[]): number[] => pids.filter(isProcessAlive);

/** Sentences of a small vocabulary that a model can learn. */
function prose(seed: number, sentences: number): string {
  const random = seededRandom(seed);
  const pick = (words: readonly string[]): string => words[random.integer(words.length)] ?? "";
  return Array.from({ length: sentences }, () => {
    const [who, does, what] = [
      pick(["the mason", "a jeweller", "my sister", "the old king"]),
      pick(["cuts", "polishes", "weighs", "sells"]),
      pick(["a ruby", "the stone", "grey slate", "one opal", "an amber ring"]),
    ];
    return `${who} ${does} ${what} ${pick(["slowly", "at dawn", "without a word", "for gold"])}.`;
  }).join("\n");
}
