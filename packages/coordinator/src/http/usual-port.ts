import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { replaceFile } from "@lapidary/api/replace-file";

/**
 * Where no port is asked for, the one that this home had the last time, if it is still free: a page that is open finds its coordinator again.
 */
export async function onUsualPort<T extends { readonly port: number }>(
  home: string,
  port: number,
  serve: (port: number) => Promise<T>,
): Promise<T> {
  const path = join(home, "port");
  const usual = port === 0 && existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
  const served = await serveOn(port, Number.isInteger(usual) && usual > 1023 && usual < 65_536 ? usual : 0, serve);
  replaceFile(path, `${served.port}\n`);
  return served;
}

async function serveOn<T>(port: number, usual: number, serve: (port: number) => Promise<T>): Promise<T> {
  if (port !== 0 || usual === 0) return serve(port);
  try {
    return await serve(usual);
  } catch (error) {
    if (!(error instanceof LapidaryError) || error.code !== "LAP_PORT_TAKEN") throw error;
    return serve(0);
  }
}
