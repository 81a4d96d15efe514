/** The versions of Node that Lapidary supports, for the set-up, `lapidary doctor` and the coordinator. */

export const supportedNode = "Node 20 (from 20.19) and 22";

export const nodeRemedy = "install Node 22 (https://nodejs.org, or `nvm install 22`) and run the command again";

/** @param {string} [version] such as `20.19.0` */
export function isSupportedNode(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return (major === 20 && minor >= 19) || major === 21 || major === 22;
}
