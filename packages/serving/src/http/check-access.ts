import type { IncomingHttpHeaders } from "node:http";
import { isAllowedHost } from "@lapidary/api/allowed-hosts";
import { bearerToken, isOriginOf, tokenCheck } from "@lapidary/api/request-access";
import { hostError, originError, tokenError } from "../errors.js";

/**
 * The access rules of the coordinator's API without its cookies: `Host` is a loopback name or an allowed one, `Origin` (if any) is the same host and
 * port, and the request has the token.
 *
 * @param allowed further host names, in lower case
 * @returns a function that throws LAP_HTTP_HOST, LAP_HTTP_ORIGIN or LAP_HTTP_TOKEN
 */
export function accessCheck(token: string, allowed: readonly string[]): (headers: IncomingHttpHeaders) => void {
  const isToken = tokenCheck(token);
  return ({ host = "", origin, authorization = "" }) => {
    if (!isAllowedHost(host, allowed)) throw hostError(host);
    if (origin !== undefined && !isOriginOf(host, origin)) throw originError(origin);
    if (!isToken(bearerToken(authorization))) throw tokenError();
  };
}
