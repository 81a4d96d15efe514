import { createHash, timingSafeEqual } from "node:crypto";

/** Whether `origin` is a page with the host and port of the request. A proxy on the loopback interface may add TLS. */
export const isOriginOf = (host: string, origin: string): boolean =>
  ["http", "https"].some((scheme) => origin.toLowerCase() === `${scheme}://${host.toLowerCase()}`);

/** The token of an `Authorization` header of the form `Bearer TOKEN`; the empty string for any other header. */
export const bearerToken = (authorization: string): string => /^Bearer (\S+)$/.exec(authorization)?.[1] ?? "";

/** A function that compares a received token with `token`. The comparison takes the same time for every received token. */
export function tokenCheck(token: string): (received: string) => boolean {
  const expected = digest(token);
  return (received) => timingSafeEqual(digest(received), expected);
}

/** Digests have equal lengths, which `timingSafeEqual` requires. */
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
