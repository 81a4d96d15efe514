import { type ChildProcess, spawn, spawnSync } from "node:child_process";

/** A network namespace that is joined to this one by a pair of virtual interfaces, and reaches nothing else. */
export interface NetworkNamespace {
  /** The address of this side. */
  readonly address: string;
  /** Starts a program in the namespace that sees empty directories in place of the given ones. */
  spawn(hidden: readonly string[], command: readonly string[], env: NodeJS.ProcessEnv): ChildProcess;
  remove(): void;
}

const ip = (...args: readonly string[]): void => {
  const { status, stderr, error } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${error?.message ?? stderr.trim()}`);
};

/**
 * Creates a network namespace. It needs root with the capability NET_ADMIN.
 *
 * @throws an error that says what this machine refuses
 */
export function createNamespace(): NetworkNamespace {
  const name = `lapidary-${process.pid}`;
  const [outside, inside] = [`lap-o${process.pid}`.slice(0, 15), `lap-i${process.pid}`.slice(0, 15)];
  const net = `10.211.${process.pid % 250}`;
  ip("netns", "add", name);
  const remove = (): void => {
    // The interface is removed with its peer.
    spawnSync("ip", ["link", "delete", outside]);
    spawnSync("ip", ["netns", "delete", name]);
  };
  try {
    ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name);
    ip("address", "add", `${net}.1/30`, "dev", outside);
    ip("link", "set", outside, "up");
    ip("-n", name, "address", "add", `${net}.2/30`, "dev", inside);
    ip("-n", name, "link", "set", inside, "up");
    // The namespace has mounts of its own, so this also shows whether directories can be hidden.
    ip("netns", "exec", name, "sh", "-c", "mount -t tmpfs none /mnt");
  } catch (error) {
    remove();
    throw error;
  }
  return {
    address: `${net}.1`,
    spawn: (hidden, command, env) => {
      const mounts = hidden.map((_, i) => `mount -t tmpfs none "$${i + 1}"`);
      const script = [...mounts, `shift ${hidden.length}`, 'exec "$@"'].join(" && ");
      const args = ["netns", "exec", name, "sh", "-c", script, "sh", ...hidden, ...command];
      return spawn("ip", args, { stdio: ["ignore", "pipe", "pipe"], env });
    },
    remove,
  };
}
