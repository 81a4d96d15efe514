import type { FastifyInstance, FastifyRequest } from "fastify";
import { isAllowedHost, portOf } from "@lapidary/api/allowed-hosts";
import { bearerToken, isOriginOf, tokenCheck } from "@lapidary/api/request-access";
import { hostError, originError, tokenError } from "./errors.js";

/**
 * The page in the browser keeps the token in this cookie. The browser sends the cookie to no other site, and no script can read it.
 * A browser shares cookies between the ports of a host, so the name contains the port of the browser's address.
 */
export const tokenCookie = (host: string): string => `lapidary_token_${portOf(host)}`;

/**
 * Accepts a request only if its `Host` is a loopback name or an allowed one, its `Origin` (if any) is the same host and port, and it has
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

/**
 * The token is in the header, in the cookie of the page, or (for the first request of the page) in the URL. Cookie and URL allow only reads, and
 * writes from our own page.
 */
function tokenOf(request: FastifyRequest): string {
  const { authorization = "", cookie = "", host = "" } = request.headers;
  if (authorization !== "") return bearerToken(authorization);
  // Browsers name the page that sends a write, and `Origin` was checked before. A request without `Origin` does not come from a page.
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
