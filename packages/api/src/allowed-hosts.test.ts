import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import type { LapidaryError } from "@lapidary/std";
import { isAllowedHost, readAllowedHosts } from "./allowed-hosts.js";

describe("allowed hosts", () => {
  it("a name is read in lower case; names of one label and addresses are names too", () => {
    const names = ["Hub.Example.com", "workstation-7", "my_host", "192.168.1.5", "[fe80::1]"];
    deepStrictEqual(
      readAllowedHosts(names, "--allow-host"),
      names.map((name) => name.toLowerCase()),
    );
  });

  it("a wildcard, an address with scheme or port, and an empty word are refused", () => {
    for (const name of ["*", "*.example.com", ".example.com", "https://hub", "hub:80", "hub/", "a b", "", "-hub", "hub."])
      throws(
        () => readAllowedHosts([name], "LAPIDARY_ALLOW_HOST"),
        ({ code, location: place }: LapidaryError) => code === "LAP_ALLOW_HOST" && place === "LAPIDARY_ALLOW_HOST",
        name,
      );
  });

  it("a request is answered for loopback names, and for an allowed name with any port, but for nothing around it", () => {
    const allowed = ["hub.example.com", "[fe80::1]"];
    const answered = ["localhost:1", "127.0.0.1", "[::1]:5", "hub.example.com", "HUB.example.com:65535", "[fe80::1]:80"];
    const refused = [
      "",
      "example.com",
      "a.hub.example.com",
      "hub.example.com:",
      "hub.example.com:123456",
      "hub.example.com.",
      "127.0.0.1.com",
    ];
    for (const host of answered) strictEqual(isAllowedHost(host, allowed), true, host);
    for (const host of refused) strictEqual(isAllowedHost(host, allowed), false, host);
    strictEqual(isAllowedHost("hub.example.com", []), false);
  });
});
