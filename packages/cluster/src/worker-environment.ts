import { readFileSync } from "node:fs";
import type { NumericsName } from "@lapidary/protocol";

/**
 * The environment of a worker process. It has one thread: two processes on two cores scale fully, and one process with two threads does not.
 *
 * glibc: blocks of any size come from one heap and stay there. By default each large tensor is mapped and unmapped, which costs a page fault for
 * every 4 KiB, and every thread has its own heap, although only one computes.
 *
 * @param base the environment of the parent process
 */
export function workerEnvironment(base: NodeJS.ProcessEnv, numerics: NumericsName): NodeJS.ProcessEnv {
  // Workers do not use Redis. Its address may contain a password, so they do not get it.
  const { REDIS_URL: _, ...inherited } = base;
  return {
    ...inherited,
    TF_CPP_MIN_LOG_LEVEL: "2",
    TF_ENABLE_ONEDNN_OPTS: "1",
    OMP_NUM_THREADS: "1",
    TF_NUM_INTEROP_THREADS: "1",
    TF_NUM_INTRAOP_THREADS: "1",
    GLIBC_TUNABLES: "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:glibc.malloc.arena_max=1",
    ...(numerics === "mxu" && hasBf16Units() ? { TF_SET_ONEDNN_FPMATH_MODE: "BF16" } : {}),
  };
}

/** Option of Node: young objects live for a short time in a worker. A larger heap for them would never be freed. */
export const workerFlags: readonly string[] = ["--max-semi-space-size=1"];

/** Whether this processor has instructions for bf16 matmuls. */
function hasBf16Units(): boolean {
  try {
    return /\b(amx_bf16|avx512_bf16)\b/.test(readFileSync("/proc/cpuinfo", "utf8"));
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return false;
    throw error;
  }
}

/** Lines that TensorFlow writes to stderr at any log level. */
export const isStartupNotice = (line: string): boolean =>
  /^(WARNING: All log messages before absl|I\d{4} |To enable the following instructions)/.test(line) || line.trim() === "";
