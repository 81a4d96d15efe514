import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { isSystemError, LapidaryError, replaceFile } from "@lapidary/std";
import { z } from "zod";
import { readPipeline } from "../file/pipeline-file.js";

const fileName = "data-run.json";

const knownSchema = z.object({
  /** The output of the pipeline that ran last. */
  out: z.string(),
  /** The outputs of all pipelines that ran, the last first, with their names. */
  all: z.array(z.object({ id: z.string(), out: z.string() })).default([]),
});
type Known = z.output<typeof knownSchema>;

/** The output of a pipeline, and its name in the dashboard. */
export type KnownDataset = Readonly<Known["all"][number]>;

/** Remembers the output of the pipeline that ran last, for commands that name none and for the dashboard. */
export function rememberRun(home: string, out: string): void {
  mkdirSync(home, { recursive: true });
  const all = readKnown(home)?.all ?? [];
  const known = all.find((each) => each.out === out) ?? { id: freeId(out, all), out };
  replaceFile(
    join(home, fileName),
    `${JSON.stringify({ out, all: [known, ...all.filter((each) => each.out !== out)] } satisfies Known)}\n`,
  );
}

/** The outputs of the pipelines that ran with a state directory, the last first. */
export const knownDatasets = (home: string): readonly KnownDataset[] => readKnown(home)?.all ?? [];

function freeId(out: string, taken: readonly KnownDataset[]): string {
  const stem =
    basename(out)
      .toLowerCase()
      .replace(/[^a-z0-9._-]+/g, "-") || "data";
  for (let n = 1; ; n++) {
    const id = n === 1 ? stem : `${stem}-${n}`;
    if (!taken.some((each) => each.id === id)) return id;
  }
}

function readKnown(home: string): Known | undefined {
  const path = join(home, fileName);
  if (!existsSync(path)) return undefined;
  try {
    return knownSchema.safeParse(JSON.parse(readFileSync(path, "utf8"))).data;
  } catch (error) {
    if (isSystemError(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * The output directory of a pipeline.
 *
 * @param named a pipeline file or an output directory; undefined: the pipeline that ran last
 * @throws LapidaryError LAP_DATA_NO_RESULT, LAP_DATA_PIPELINE, LAP_FILE_…
 */
export function outputDirectory(named: string | undefined, { cwd, home }: { readonly cwd: string; readonly home: string }): string {
  if (named === undefined) return lastOutput(home);
  const path = resolve(cwd, named);
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? path : readPipeline(path).out;
}

function lastOutput(home: string): string {
  const known = readKnown(home);
  if (known !== undefined) return known.out;
  throw new LapidaryError({
    code: "LAP_DATA_NO_RESULT",
    message: "no pipeline ran here",
    location: join(home, fileName),
    remedy: "name a pipeline file or its output directory by --data",
  });
}
