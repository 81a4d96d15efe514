import { join } from "node:path";
import { libtpuNotice, libtpuVersion } from "@lapidary/interop";
import { errorFromJSON, formatBytes, LapidaryError } from "@lapidary/std";
import { type EndedProcess, runToEnd } from "@lapidary/tpu-compiler";

/** What the user agrees to: what is installed, its size and its licence. */
export const tpuCompilerNotice = (): string =>
  `Google's TPU compiler (JAX and libtpu ${libtpuVersion}, from your pip index) takes ${formatBytes(libtpuNotice.installed_bytes)} of disk in Lapidary's cache. libtpu comes under the ${libtpuNotice.licence}`;

/**
 * The interpreter of the environment with the compiler.
 *
 * @throws LAP_TPU_NOT_INSTALLED until the user has installed the compiler, and so accepted its licence; LAP_TPU_DAMAGED
 */
export async function findTpuCompiler(root: string, env: NodeJS.ProcessEnv): Promise<string> {
  const { code, stdout, stderr } = await runTool(root, ["--tpu", "--only-look"], env);
  if (code === 0) return stdout.trim();
  const problem = /^lapidary: jax: (.*)$/m.exec(stderr)?.[1];
  const damaged = problem !== undefined && !/bin\/python is missing$/.test(problem);
  if (damaged)
    throw new LapidaryError({
      code: "LAP_TPU_DAMAGED",
      message: `the installation of Google's TPU compiler is damaged: ${problem}`,
      location: "lapidary compile",
    });
  throw new LapidaryError({
    code: "LAP_TPU_NOT_INSTALLED",
    message: `Google's TPU compiler (libtpu ${libtpuVersion}) is not installed`,
    location: "lapidary compile",
    remedy: `run \`lapidary compile --install\`: it takes ${formatBytes(libtpuNotice.installed_bytes)} of disk, under the ${libtpuNotice.licence}`,
  });
}

/**
 * Installs the TPU compiler, or repairs its installation. The caller has the user's consent to its licence.
 *
 * @param onLine receives the progress of the installer
 * @throws LAP_XLA_SPACE, LAP_XLA_HASH, LAP_XLA_PIP, LAP_XLA_PYTHON, LAP_TPU_INSTALL
 */
export async function installTpuCompiler(root: string, env: NodeJS.ProcessEnv, onLine: (line: string) => void): Promise<string> {
  const { code, stderr } = await runTool(root, ["--tpu"], env, onLine);
  if (code === 0) return `libtpu ${libtpuVersion} is installed`;
  const [, id, message, remedy] = /lapidary: error (LAP_\w+): ([\s\S]*?)\nlapidary: {5}remedy: (.*)/.exec(stderr) ?? [];
  if (id !== undefined) throw errorFromJSON({ code: id, message, place: "lapidary compile --install", remedy });
  throw new LapidaryError({
    code: "LAP_TPU_INSTALL",
    message: `the TPU compiler could not be installed: ${stderr.trim().split("\n").slice(-3).join("\n")}`,
    location: "tools/xla/venv.mjs --tpu",
  });
}

function runTool(
  root: string,
  flags: readonly string[],
  env: NodeJS.ProcessEnv,
  onMessage?: (message: string) => void,
): Promise<Pick<EndedProcess, "code" | "stdout" | "stderr">> {
  const onLine = (line: string): void => {
    const said = /^lapidary: (?!error |    )(.*)$/.exec(line)?.[1];
    if (said !== undefined) onMessage?.(said);
  };
  // A tool that cannot be started has found nothing.
  return runToEnd(process.execPath, [join(root, "tools/xla/venv.mjs"), ...flags], { env, onLine }).catch(() => ({
    code: null,
    stdout: "",
    stderr: "",
  }));
}
