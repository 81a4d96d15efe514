import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LapidaryError, replaceFile } from "@lapidary/std";

/** If no port is requested, the server uses the last port of this home if it is free, so that an open page finds its coordinator again. */
export async function onPreferredPort<T extends { readonly port: number }>(
  home: string,
  port: number,
  serve: (port: number) => Promise<T>,
): Promise<T> {
  const path = join(home, "port");
  const preferred = port === 0 && existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
  const served = await serveOn(port, Number.isInteger(preferred) && preferred > 1023 && preferred < 65_536 ? preferred : 0, serve);
  replaceFile(path, `${served.port}\n`);
  return served;
}

async function serveOn<T>(port: number, preferred: number, serve: (port: number) => Promise<T>): Promise<T> {
  if (port !== 0 || preferred === 0) return serve(port);
  try {
    return await serve(preferred);
  } catch (error) {
    if (!(error instanceof LapidaryError) || error.code !== "LAP_PORT_TAKEN") throw error;
    return serve(0);
  }
}
