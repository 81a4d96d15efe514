import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { hostError, originError, tokenError } from "./errors.js";

/** The browser's page keeps the token in this cookie; it is sent to no other site and read by no script. Browsers do not tell ports apart: its name does. */
export const tokenCookie = (host: string): string => `lapidary_token_${host.split(":")[1] ?? ""}`;

/**
 * Lets a request through only if it is for this very host (a page elsewhere cannot rebind its name to us), from no other
 * page, and bears the token.
 */
export function guard(server: FastifyInstance, token: string, port: () => number): void {
  const expected = digest(token);
  server.addHook("onRequest", async (request) => {
    const hosts = [`127.0.0.1:${port()}`, `localhost:${port()}`];
    const { host = "", origin } = request.headers;
    if (!hosts.includes(host)) throw hostError(host);
    if (origin !== undefined && !hosts.some((own) => origin === `http://${own}`)) throw originError(origin);
    if (!timingSafeEqual(digest(tokenOf(request)), expected)) throw tokenError();
  });
}

/** From the header, the page's cookie, or (to come to the page once) the address. Only reads, and writes from our own page, may be asked for with the latter two. */
function tokenOf(request: FastifyRequest): string {
  const { authorization = "", cookie = "", host = "" } = request.headers;
  if (authorization !== "") return /^Bearer (\S+)$/.exec(authorization)?.[1] ?? "";
  // Browsers name the page that sends a write; by now it is our own. Without a name it is no page.
  if (request.method !== "GET" && request.headers.origin === undefined) return "";
  const inAddress = request.url.startsWith("/?") ? new URLSearchParams(request.url.slice(2)).get("token") : null;
  return (
    inAddress ??
    cookie
      .split(/; */)
      .find((part) => part.startsWith(`${tokenCookie(host)}=`))
      ?.slice(tokenCookie(host).length + 1) ??
    ""
  );
}

/** Equal lengths, so that the comparison takes the same time for every guess. */
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
