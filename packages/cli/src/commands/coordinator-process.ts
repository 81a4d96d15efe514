import type { Started, Stopped } from "@lapidary/coordinator/service-process";
import type { Context } from "../context.js";
import { readVersion } from "./version.js";

export interface UpOptions {
  readonly port: number | undefined;
  readonly workers: number | undefined;
  /** Host names that the coordinator answers for besides loopback names. */
  readonly allowHosts: readonly string[];
}

/** Starts the coordinator of this state directory, and prints its warnings. */
export async function startCoordinator(context: Context, options: UpOptions): Promise<Started> {
  const { console, home, root, env, clock, interrupts } = context;
  const service = await import("@lapidary/coordinator/service-process");
  return service.startCoordinator({
    ...options,
    home,
    root,
    version: readVersion(root),
    env,
    clock,
    signal: interrupts.signal,
    onWarning: (warning) => console.warn(warning),
  });
}

/** Stops the coordinator of this state directory and its processes. */
export async function stopCoordinator({ home, clock }: Context): Promise<Stopped> {
  const service = await import("@lapidary/coordinator/service-process");
  return service.stopCoordinator({ home, clock });
}
