import { spawn } from "node:child_process";

export interface EndedProcess {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunToEndOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Receives the lines of stderr as they arrive. */
  readonly onLine?: ((line: string) => void) | undefined;
}

/** Runs a process to its end. Rejects if it cannot be started. */
export function runToEnd(command: string, args: readonly string[], { env, onLine }: RunToEndOptions): Promise<EndedProcess> {
  return new Promise((done, fail) => {
    const child = spawn(command, [...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      for (const line of text.split("\n")) onLine?.(line);
    });
    child.once("error", fail);
    child.once("close", (code, signal) => done({ code, signal, stdout, stderr }));
  });
}
