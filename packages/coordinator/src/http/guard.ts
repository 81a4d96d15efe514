import type { FastifyInstance, FastifyRequest } from "fastify";
import { isAllowedHost, portOf } from "@lapidary/api/allowed-hosts";
import { bearerToken, isOriginOf, tokenCheck } from "@lapidary/api/request-access";
import { hostError, originError, tokenError } from "./errors.js";

/**
 * The browser's page keeps the token in this cookie; the browser sends it to no other site, and no script reads it.
 * A browser shares cookies between the ports of a host, so the name has the port of the browser's address.
 */
export const tokenCookie = (host: string): string => `lapidary_token_${portOf(host)}`;

/**
 * Lets a request through only if its `Host` is a loopback name or an allowed one, its `Origin` (if any) is that same host and port, and it has
 * the token. DNS rebinding needs a foreign name in `Host`.
 *
 * @param allowed further names, in lower case
 */
export function guard(server: FastifyInstance, token: string, allowed: readonly string[]): void {
  const isToken = tokenCheck(token);
  server.addHook("onRequest", async (request) => {
    const { host = "", origin } = request.headers;
    if (!isAllowedHost(host, allowed)) throw hostError(host);
    if (origin !== undefined && !isOriginOf(host, origin)) throw originError(origin);
    if (!isToken(tokenOf(request))) throw tokenError();
  });
}

/** From the header, the page's cookie, or (to come to the page once) the address. Only reads, and writes from our own page, may be asked for with the latter two. */
function tokenOf(request: FastifyRequest): string {
  const { authorization = "", cookie = "", host = "" } = request.headers;
  if (authorization !== "") return bearerToken(authorization);
  // Browsers name the page that sends a write; by now it is our own. A request without a name does not come from a page.
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
