import { readFileSync } from "node:fs";
import { isSystemError } from "@lapidary/std";
import { runToEnd } from "@lapidary/tpu-compiler";

export interface OneCore {
  readonly core: number | undefined;
  /** The words before a command that bind it to the core; empty if the system cannot do so. */
  readonly pin: readonly string[];
}

/** The first core that this process may use. Linux binds a process to it with the program taskset. */
export async function oneCore(env: NodeJS.ProcessEnv): Promise<OneCore> {
  const core = firstAllowed();
  if (core === undefined) return { core: undefined, pin: [] };
  const pin = ["taskset", "-c", String(core)];
  const works = await runToEnd("taskset", [...pin.slice(1), "true"], { env }).then(
    ({ code }) => code === 0,
    () => false,
  );
  return works ? { core, pin } : { core: undefined, pin: [] };
}

function firstAllowed(): number | undefined {
  try {
    const first = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return first === undefined ? undefined : Number(first);
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}
