import { fileURLToPath } from "node:url";

/** The directory of a parity bundle, relative to the compiled file in e2e/dist/support. */
export const golden = (name: string): string => fileURLToPath(new URL(`../../golden/${name}`, import.meta.url));
