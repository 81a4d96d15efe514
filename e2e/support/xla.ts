import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Ended, root, Running } from "./cli.js";

/** Runs a program to its end. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<Ended> {
  const env = { ...process.env, ...options.env };
  return new Running(spawn(command, args, { cwd: options.cwd ?? root, env, stdio: ["ignore", "pipe", "pipe"] })).ended;
}

/** The same, but throws an error with the output of the program unless the exit code is 0. */
export async function runSuccessfully(command: string, args: readonly string[], options: Parameters<typeof run>[2] = {}): Promise<Ended> {
  const ended = await run(command, args, options);
  if (ended.code !== 0)
    throw new Error(`${command} ${args.join(" ")} exited with ${ended.code}:\n${ended.stdout.slice(-2000)}\n${ended.stderr.slice(-4000)}`);
  return ended;
}

/** The interpreter of the environment with the pinned JAX. Creates the environment if it is missing. */
export async function jaxPython(): Promise<string> {
  return (await runSuccessfully(process.execPath, [join(root, "tools/xla/venv.mjs")])).stdout.trim();
}

/** The interpreter of the environment with Google's TPU compiler. Installs the compiler if it is missing. */
export async function tpuPython(): Promise<string> {
  return (await runSuccessfully(process.execPath, [join(root, "tools/xla/venv.mjs"), "--tpu"])).stdout.trim();
}

/** The interpreter of the environment with JAX, Flax and optax. Creates the environment if it is missing. */
export async function flaxPython(): Promise<string> {
  return (await runSuccessfully(process.execPath, [join(root, "tools/xla/venv.mjs"), "--flax"])).stdout.trim();
}

/** `run.py` of an export, on virtual CPU devices. */
export const runExport = (python: string, directory: string, ...args: string[]): Promise<Ended> =>
  run(python, [join(directory, "run.py"), ...args], { env: { JAX_PLATFORMS: "cpu" } });

/** The losses that `run.py` prints, by step. */
export function lossesOf({ code, stdout, stderr }: Ended): Map<number, number> {
  if (code !== 0) throw new Error(`run.py exited with ${code}:\n${stderr.slice(-4000)}`);
  return new Map(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" ").map(Number) as [number, number]),
  );
}

/** Runs `run.py` in several processes, which divide the devices among them. */
export async function runProcesses(count: number, python: string, directory: string, ...args: string[]): Promise<Ended[]> {
  const peers = ["--processes", String(count), "--coordinator", `127.0.0.1:${await freePort()}`];
  return Promise.all(
    Array.from({ length: count }, (_, process) => runExport(python, directory, ...peers, "--process", String(process), ...args)),
  );
}

/** Options of a run that ends with a checkpoint. */
export const saving = (steps: number, folder: string, format: "orbax" | "safetensors"): string[] => [
  "--steps",
  String(steps),
  "--checkpoint-every",
  String(steps),
  "--checkpoint-dir",
  folder,
  "--checkpoint-format",
  format,
];

/** A port that is currently free. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject).listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
