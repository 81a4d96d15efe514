import { fileURLToPath } from "node:url";

/** The directory of a bundle in `e2e/golden/post`, relative to the compiled file. */
export const goldenBundle = (name: "mqa" | "pod16x16"): string =>
  fileURLToPath(new URL(`../../../../e2e/golden/post/${name}`, import.meta.url));
