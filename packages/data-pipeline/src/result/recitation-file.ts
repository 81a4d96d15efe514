import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isSystemError, LapidaryError, parsedJson, replaceFile, systemError } from "@lapidary/std";
import { z } from "zod";

const count = z.number().int().nonnegative();

/** Texts that a run was tested on, and those that it recites. `exact` ones are also `approximate`. */
const tally = z.strictObject({
  documents: count,
  /** Those that are long enough. */
  tested: count,
  exact: count,
  approximate: count,
});
export type RecitationTally = Readonly<z.infer<typeof tally>>;

const sourceSchema = tally.extend({
  name: z.string(),
  /** Held-out documents are the comparison: no step trained on them. */
  split: z.enum(["train", "heldout"]),
  /** How often the steps had read the tested tokens → tally. */
  passes: z.record(z.string(), tally),
  /** Personal data in what the model generated, by kind. */
  personal: z.record(z.string(), count),
});

const canarySchema = tally.extend({
  /** Copies in the corpus; 0 for controls, which it does not have. */
  times: count,
  /** Texts that have a secret, those whose secret the model generates, and their mean exposure in bits. */
  secrets: count,
  extracted: count,
  exposure: z.number().nullable(),
});

const reportSchema = z.strictObject({
  run: z.string(),
  step: count.nullable(),
  /** Tokens of a document that the model is given, tokens that it then generates, and the largest edit distance as a share of them. */
  prompt: count,
  continuation: count,
  share: z.number(),
  seed: count,
  sources: z.array(sourceSchema),
  canaries: z.array(canarySchema),
  /** The exposure of a secret that the model prefers to all other values. */
  most_exposure: z.number(),
});

/** How much of its training data a run recites. */
export type RecitationReport = Readonly<z.infer<typeof reportSchema>>;
export type SourceRecitation = RecitationReport["sources"][number];
export type CanaryRecitation = RecitationReport["canaries"][number];

const directory = "recitation";

/**
 * Stores the report of a run next to the dataset that it trained on, for the card. A test of canaries keeps the tested documents of the same step, and the
 * other way round.
 *
 * @returns the path
 */
export function writeRecitation(out: string, report: RecitationReport): string {
  mkdirSync(join(out, directory), { recursive: true });
  const path = join(out, directory, `${report.run}.json`);
  const before = existsSync(path) ? parsed(path) : undefined;
  const isSame = before !== undefined && settingsOf(before) === settingsOf(report);
  const { sources, canaries } = report;
  const merged = {
    ...report,
    sources: isSame && sources.length === 0 ? before.sources : sources,
    canaries: isSame && canaries.length === 0 ? before.canaries : canaries,
  };
  replaceFile(path, `${JSON.stringify(reportSchema.parse(merged), null, 1)}\n`);
  return path;
}

const settingsOf = ({ step, prompt, continuation, share }: RecitationReport): string => JSON.stringify([step, prompt, continuation, share]);

/** The reports of all runs, by name. @throws LapidaryError LAP_DATA_NO_RESULT, LAP_FILE_… */
export function readRecitations(out: string): readonly RecitationReport[] {
  try {
    return readdirSync(join(out, directory))
      .filter((name) => name.endsWith(".json"))
      .sort()
      .map((name) => parsed(join(out, directory, name)));
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === "ENOENT") return [];
    throw systemError(error, { doing: "read the recitation of a run", place: join(out, directory) });
  }
}

function parsed(path: string): RecitationReport {
  const report = reportSchema.safeParse(parsedJson(readFileSync(path, "utf8")));
  if (report.success) return report.data;
  throw new LapidaryError({
    code: "LAP_DATA_NO_RESULT",
    message: "the report on the recitation of a run has another form",
    location: path,
    remedy: "remove the file, or write it again with `lapidary data memorise`",
  });
}
