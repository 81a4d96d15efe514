import { LapidaryError } from "@lapidary/std";

/** A loopback name or address with any port, because a tunnel may have another port than the coordinator. */
const loopbackHost = /^(localhost|127(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}|\[::1\])(:\d{1,5})?$/i;

/** Labels of letters, digits, hyphens and underscores; also an IPv4 address, or an IPv6 address in brackets. */
const hostName = /^([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\])$/i;

/**
 * Checks the names that the coordinator answers for besides loopback names.
 *
 * @param location the option or variable that gave the names
 * @returns the names in lower case
 * @throws LAP_ALLOW_HOST for anything but a host name; for a wildcard with the reason
 */
export function readAllowedHosts(names: readonly string[], location: string): readonly string[] {
  return names.map((name) => {
    const lower = name.toLowerCase();
    if (hostName.test(lower)) return lower;
    throw allowHostError(name, location);
  });
}

function allowHostError(name: string, location: string): LapidaryError {
  const inName = /^(?:[a-z]+:\/\/)?(\[[0-9a-f:.]+\]|[^/:@*]+)(?::\d+)?(?:\/.*)?$/i.exec(name)?.[1] ?? "";
  return new LapidaryError({
    code: "LAP_ALLOW_HOST",
    message: name.includes("*")
      ? `${JSON.stringify(name)} is a wildcard: any web page could point a name of its own at this machine and reach the coordinator (DNS rebinding)`
      : `${JSON.stringify(name)} is not a host name`,
    location,
    remedy:
      hostName.test(inName) && !name.includes("*")
        ? `write the name alone, without scheme, port and path: ${inName}`
        : "write each name that the browser's address bar shows, such as hub.example.com",
  });
}

/** Whether a request with this `Host` is answered. An allowed name may have any port. */
export function isAllowedHost(host: string, allowed: readonly string[]): boolean {
  return loopbackHost.test(host) || allowed.includes(nameOf(host));
}

/** A `Host` in lower case without its port. */
export const nameOf = (host: string): string => host.toLowerCase().replace(/:\d{1,5}$/, "");

/** The port of a `Host`; empty for the default port. */
export const portOf = (host: string): string => /:(\d{1,5})$/.exec(host)?.[1] ?? "";

/** Whether a `Host` is a name that `--allow-host` takes. */
export const canBeAllowed = (host: string): boolean => hostName.test(nameOf(host));
