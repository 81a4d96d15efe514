import { fileURLToPath } from "node:url";

/** The libraries that the set-up compiles from `cpp/`, by the name of their directory. */
export type LibraryName = "kernels" | "memory" | "disk";

/** The path at which the set-up stores a library. */
export const libraryPath = (name: LibraryName): string => fileURLToPath(new URL(`../lib/lapidary_${name}.node`, import.meta.url));
