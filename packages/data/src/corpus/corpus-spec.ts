import { isAbsolute, join, resolve } from "node:path";

/** The name of the default corpus in a job file. */
export const defaultCorpus = "node_modules";
/** Default size of the default corpus: more text than a small model needs in a short run. */
const defaultMaxBytes = 8_000_000;

/** The source of the text. Paths are absolute. */
export type CorpusSpec =
  /** Prose, declarations and code of the packages in this `node_modules`. */
  | { readonly kind: "node_modules"; readonly directory: string; readonly maxBytes: number }
  /** A UTF-8 file, a directory of such files, or a JSONL file. `textField` is the field of a JSONL object with the text. */
  | { readonly kind: "path"; readonly path: string; readonly textField: string };

export interface CorpusSpecOptions {
  /** The directory that has the `node_modules` of the default corpus. */
  readonly projectRoot: string;
  /** The directory of relative paths; the project's root by default. */
  readonly base?: string;
  readonly textField?: string;
  readonly maxBytes?: number;
}

/** The corpus that `data.corpus` of a job names: `node_modules`, or the path of a file or directory (`./node_modules` is a path). */
export function corpusSpec(name: string, options: CorpusSpecOptions): CorpusSpec {
  if (name === defaultCorpus)
    return {
      kind: "node_modules",
      directory: join(resolve(options.projectRoot), "node_modules"),
      maxBytes: options.maxBytes ?? defaultMaxBytes,
    };
  const path = isAbsolute(name) ? name : join(resolve(options.base ?? options.projectRoot), name);
  return { kind: "path", path: resolve(path), textField: options.textField ?? "text" };
}

/** The path of a corpus in errors and manifests. */
export function corpusPath(spec: CorpusSpec): string {
  return spec.kind === "path" ? spec.path : spec.directory;
}
