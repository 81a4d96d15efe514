import { fileURLToPath } from "node:url";

/** The version of Google's TPU compiler on PyPI that is supported and tested. Newer versions may print other HLO. */
export const libtpuVersion = "0.0.52";
/** What the user agrees to before it is installed; `lapidary_xla/environment.py` has the same text. */
export const libtpuNotice = {
  licence: "Google Cloud Platform Terms of Service (https://cloud.google.com/terms)",
  installed_bytes: 1.1e9,
} as const;

/** The script that compiles the modules of a directory. It runs in the environment that `tools/xla/venv.mjs --tpu` creates. */
export const tpuScript = (): string => fileURLToPath(new URL("../../assets/backends/tpu.py", import.meta.url));
