import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { LapidaryError, redactSecrets } from "@lapidary/std";

/** The result of one check, as declared in tools/setup/checks.d.mts. The module is loaded by its path, because tools/ is not a package. */
export interface SetupCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly remedy: string;
}
interface ChecksModule {
  checks(where: { root: string; env: NodeJS.ProcessEnv }): Promise<readonly SetupCheck[]>;
}

/** Checks everything that the set-up provides, and the Redis server of REDIS_URL. */
export async function checkSetup(root: string, env: NodeJS.ProcessEnv): Promise<readonly SetupCheck[]> {
  const found = await (await loadChecks(root)).checks({ root, env });
  const redis = await checkRedisUrl(env);
  return redis === undefined ? found : found.map((check) => (check.name === redis.name ? redis : check));
}

/** Checks the server of REDIS_URL, as `lapidary up` does; undefined without an address. */
async function checkRedisUrl(env: NodeJS.ProcessEnv): Promise<SetupCheck | undefined> {
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
    const place = error.location === undefined ? "" : ` (${redactSecrets(error.location)})`;
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
    location: path,
  });
}

const isChecksModule = (module: unknown): module is ChecksModule =>
  typeof module === "object" && module !== null && "checks" in module && typeof module.checks === "function";
