/** Types of the supported versions of Node; `node-version.mjs` is the code. */

/** `Node 20 (from 20.19) and 22`, for messages. */
export const supportedNode: string;

export const nodeRemedy: string;

/** @param version such as `20.19.0`; by default the version of this process */
export function isSupportedNode(version?: string): boolean;
