import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ExitCode, LapidaryError, redactSecrets, textTable } from "@lapidary/std";
import type { Context } from "../context.js";

/** As tools/setup/checks.d.mts declares it; the file is loaded by path, for tools are no package. */
interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly remedy: string;
}
interface ChecksModule {
  checks(where: { root: string; env: NodeJS.ProcessEnv }): Promise<readonly Check[]>;
}

/** Checks everything that the set-up provides; exit code 1 if something is missing. */
export async function doctor(context: Context): Promise<ExitCode> {
  const { console, root, env } = context;
  const progress = console.progress();
  progress.update("check the set-up");
  const found = await (await loadChecks(root)).checks({ root, env });
  const redis = await checkRedisUrl(env);
  const checks = redis === undefined ? found : found.map((check) => (check.name === redis.name ? redis : check));
  progress.end();
  const ok = checks.every((check) => check.ok);
  console.result({ ok, checks: checks.map(({ name, ok, detail, remedy }) => ({ name, ok, detail, remedy: ok ? "" : remedy })) }, () =>
    table(checks, console.paint),
  );
  console.text(ok ? "\nAll checks passed." : "");
  return ok ? ExitCode.done : ExitCode.other;
}

/** Checks the server of REDIS_URL, as `lapidary up` does; undefined without an address. */
async function checkRedisUrl(env: NodeJS.ProcessEnv): Promise<Check | undefined> {
  const url = env["REDIS_URL"];
  if (url === undefined || url === "") return undefined;
  const { describeRedis } = await import("@lapidary/control");
  try {
    return { name: "redis", ok: true, detail: await describeRedis(url), remedy: "" };
  } catch (error) {
    if (!(error instanceof LapidaryError))
      return {
        name: "redis",
        ok: false,
        detail: redactSecrets(`LAP_REDIS_UNREACHABLE: ${String(error)}`),
        remedy: "name the port of a Redis server in REDIS_URL",
      };
    const place = error.place === undefined ? "" : ` (${redactSecrets(error.place)})`;
    return { name: "redis", ok: false, detail: redactSecrets(`${error.code}: ${error.message}${place}`), remedy: error.remedy };
  }
}

async function loadChecks(root: string): Promise<ChecksModule> {
  const path = join(root, "tools/setup/checks.mjs");
  const module: unknown = await import(pathToFileURL(path).href);
  if (isChecksModule(module)) return module;
  throw new LapidaryError({
    code: "LAP_CLI_CHECKS",
    message: "the checks of the set-up cannot be loaded",
    place: path,
  });
}

const isChecksModule = (module: unknown): module is ChecksModule =>
  typeof module === "object" && module !== null && "checks" in module && typeof module.checks === "function";

function table(checks: readonly Check[], paint: Context["console"]["paint"]): string {
  const lines = textTable(
    [{ title: "check" }, { title: "" }, { title: "found" }],
    checks.map(({ name, ok, detail }) => [name, ok ? "ok" : "FAILED", detail]),
  ).split("\n");
  return lines
    .flatMap((line, i) => {
      const check = checks[i - 1];
      if (check === undefined) return [paint.dim(line)];
      if (check.ok) return [line.replace(" ok ", ` ${paint.green("ok")} `)];
      return [line.replace("FAILED", paint.red("FAILED")), `    ${paint.bold("remedy:")} ${check.remedy}`];
    })
    .join("\n");
}
