import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { streamEventSchema } from "@lapidary/api";
import { runEventsIn, type TimedEvent } from "@lapidary/api/run-events";
import { runInDirectory } from "@lapidary/cli/testing";

/** The project's root, relative to the compiled file. */
export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** The script of the command. */
export const commandScript = join(root, "packages/cli/bin/lapidary.mjs");

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running `lapidary` process. */
export class Running {
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;
  readonly #watchers = new Set<() => void>();

  constructor(readonly child: ChildProcess) {
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#changed();
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#changed();
    });
    this.ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => {
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
        this.#changed();
      });
    });
  }

  /** Resolves when stderr contains the text; rejects if the process ends before. */
  async says(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stderr)) {
      if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode} and never said ${pattern}:\n${this.stderr}`);
      await new Promise<void>((resolve) => this.#watchers.add(resolve));
    }
  }

  /** Ctrl-C, as a terminal sends it: to the whole process group. */
  pressCtrlC(): void {
    if (this.child.pid !== undefined) process.kill(-this.child.pid, "SIGINT");
  }

  #changed(): void {
    for (const wake of this.#watchers) wake();
    this.#watchers.clear();
  }
}

/**
 * A separate directory for one test: the state directory, a small job and its corpus. The environment of all its processes contains its path, so that
 * the test finds every process.
 */
export class Home {
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), "lapidary-e2e-")));
  readonly state = join(this.directory, "state");
  readonly job = join(this.directory, "tiny.yaml");

  /**
   * @param env variables that every command of this home gets besides those of the test process; undefined removes one
   * @param bin the script of the command
   * @param node the Node that runs it
   */
  constructor(
    readonly env: Readonly<Record<string, string | undefined>> = {},
    readonly bin: string = commandScript,
    readonly node: string = process.execPath,
  ) {
    mkdirSync(join(this.directory, "corpus"));
    for (let i = 0; i < 60; i++) writeFileSync(join(this.directory, "corpus", `${i}.txt`), sampleText(i));
    writeFileSync(this.job, tinyJob);
  }

  /** Starts a command as a process that leads its own group. */
  start(...args: string[]): Running {
    const env = { ...process.env, LAPIDARY_HOME: this.state, ...this.env };
    return new Running(
      spawn(this.node, [this.bin, ...args], { cwd: this.directory, env, stdio: ["ignore", "pipe", "pipe"], detached: true }),
    );
  }

  /**
   * Runs a command to its end: in this process, which has loaded the command already. A home with variables or with a script of its own
   * starts a process, because such tests show what a process reads.
   */
  async run(...args: string[]): Promise<Ended> {
    if (this.bin !== commandScript || Object.keys(this.env).length > 0) return this.start(...args).ended;
    const { exit, stdout, stderr } = await runInDirectory(this.directory, args, { ...process.env, LAPIDARY_HOME: this.state });
    return { code: exit, stdout, stderr };
  }

  /** The JSON that a command prints. */
  async json(...args: string[]): Promise<Record<string, unknown>> {
    const { code, stdout, stderr } = await this.run(...args, "--json");
    if (code !== 0) throw new Error(`lapidary ${args.join(" ")} exited with ${code}:\n${stderr}`);
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  /** Waits until a job is done. Throws if it fails or is cancelled. */
  async untilDone(job: string): Promise<void> {
    const { code, stderr } = await this.run("jobs", "wait", job);
    if (code !== 0) throw new Error(`the job ${job} is not done, exit code ${code}:\n${stderr}`);
  }

  /** The run events that `jobs events` prints. */
  async events(run: string): Promise<readonly TimedEvent[]> {
    const { code, stdout, stderr } = await this.run("jobs", "events", run, "--json");
    if (code !== 0) throw new Error(`lapidary jobs events ${run} exited with ${code}:\n${stderr}`);
    const lines = stdout.trimEnd().split("\n");
    return runEventsIn(lines.map((line) => streamEventSchema.parse(JSON.parse(line)))).events;
  }

  /** Command lines of all processes of this directory that still run (Linux only). */
  processes(): string[] {
    return (existsSync("/proc") ? readdirSync("/proc") : [])
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        try {
          if (Number(pid) === process.pid || !readFileSync(`/proc/${pid}/environ`, "utf8").includes(`LAPIDARY_HOME=${this.state}\0`))
            return [];
          return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()}`];
        } catch {
          // The process ended in the meantime, or belongs to another user.
          return [];
        }
      });
  }

  /** Stops all processes and removes the directory. */
  async clear(): Promise<void> {
    await this.run("down");
    for (const line of this.processes()) process.kill(Number(line.split(" ")[0]), "SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const tinyJob = `
model: { vocab_size: 300, model_dim: 32, layers: 1, heads: 4, kv_heads: 1, head_dim: 8, mlp_dim: 64, context_length: 16 }
pod: { torus: 2x2, chip: v5e, host: 2x2 }
mesh: { data: 2, model: 2 }
zero: 3
train: { steps: 20, batch: 4, optimizer: { name: adamw, lr: 0.001 } }
data: { corpus: corpus, held_out: 0.2 }
`;

/** Text for training a tokenizer of 300 ids. Each number gives another text. */
function sampleText(seed: number): string {
  const words = [
    "the",
    "chip",
    "sends",
    "its",
    "shard",
    "to",
    "a",
    "neighbour",
    "and",
    "waits",
    "while",
    "links",
    "carry",
    "partial",
    "sums",
  ];
  let state = seed * 7919 + 1;
  const next = (): string => {
    state = (state * 48271) % 2147483647;
    return words[state % words.length] ?? "";
  };
  return Array.from({ length: 40 }, () => `${Array.from({ length: 9 }, next).join(" ")}.`).join("\n");
}
