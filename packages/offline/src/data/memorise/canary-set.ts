import { readFileSync } from "node:fs";
import { secretIn } from "@lapidary/evaluation";
import { isSystemError, LapidaryError, parsedJson, systemError } from "@lapidary/std";
import { z } from "zod";

/** A text whose number of copies in the corpus is known. */
export interface Canary {
  readonly text: string;
  /** 0 for a control, which the corpus does not have. */
  readonly times: number;
  /** A part of the text that cannot be guessed. */
  readonly secret: string | undefined;
}

const row = z.strictObject({ text: z.string().min(1), times: z.number().int().nonnegative().default(0), secret: z.string().optional() });
const control = z.union([
  z
    .string()
    .min(1)
    .transform((text) => ({ text })),
  z.strictObject({ text: z.string().min(1) }),
]);
/** One object with all canaries, such as an experiment writes. */
const whole = z.looseObject({ canaries: z.array(row).min(1), controls: z.array(control).default([]) });

/**
 * The canaries of a file: JSON lines `{ text, times, secret }`, or one object `{ canaries, controls }`.
 *
 * @throws LapidaryError LAP_DATA_CANARIES, LAP_FILE_…
 */
export function readCanaries(path: string): readonly Canary[] {
  const content = contentOf(path);
  const object = parsedJson(content);
  if (object !== undefined && typeof object === "object" && object !== null && "canaries" in object) {
    const parsed = whole.safeParse(object);
    if (!parsed.success) throw refused(path, issueOf(parsed.error));
    const { canaries, controls } = parsed.data;
    return [...canaries, ...controls.map(({ text }) => ({ text, times: 0, secret: undefined }))].map((each) => checked(each, path));
  }
  const canaries = content.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    const place = `${path}:${i + 1}`;
    const value = parsedJson(line);
    if (value === undefined) throw refused(place, "the line is not JSON");
    const parsed = row.safeParse(value);
    if (!parsed.success) throw refused(place, issueOf(parsed.error));
    return [checked(parsed.data, place)];
  });
  if (canaries.length === 0) throw refused(path, "the file has no line");
  return canaries;
}

function checked({ text, times, secret }: { text: string; times: number; secret?: string | undefined }, place: string): Canary {
  if (secret !== undefined && secretIn(text, secret) === undefined) throw refused(place, "the text does not have its secret");
  return { text, times, secret };
}

const issueOf = ({ issues: [issue] }: z.ZodError): string => `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "another form"}`;

const refused = (location: string, why: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_CANARIES", message: `canaries cannot be read: ${why}`, location });

function contentOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw isSystemError(error) ? systemError(error, { doing: "read the canaries", place: path }) : error;
  }
}
