import { memorise, type MemoriseResult } from "@lapidary/offline/data-memorise";
import { ExitCode, textTable } from "@lapidary/std";
import { argumentError } from "../command-line/spec.js";
import type { Context } from "../context.js";
import { consoleReporter } from "../terminal/console-reporter.js";

export interface DataMemoriseOptions {
  readonly run: string;
  readonly set: string | undefined;
  readonly from: string | undefined;
  readonly documents: number | undefined;
  readonly prompt: number | undefined;
  readonly continuation: number | undefined;
  readonly values: number | undefined;
  readonly seed: number | undefined;
}

/** `lapidary data memorise RUN` tests how much of its training data a run recites. */
export async function memoriseData(context: Context, options: DataMemoriseOptions): Promise<ExitCode> {
  const { console, env, interrupts } = context;
  const { run, set, from, documents = 100, prompt, continuation, values = 31, seed = 0 } = options;
  for (const [flag, value] of Object.entries({ documents, prompt, continuation, values }))
    if (value !== undefined && value < 1) throw argumentError(`invalid number: ${value}`, `--${flag}`, "give 1 or more");
  const reporter = consoleReporter(console);
  const request = { model: run, set, data: from, documents, prompt, continuation, values, seed };
  const result = await memorise(context, request, { env, signal: interrupts.signal }, reporter).finally(reporter.end);
  console.result({ ...result.report, file: result.file ?? null }, () => recitationText(result));
  return ExitCode.done;
}

const right = (title: string): { readonly title: string; readonly align: "right" } => ({ title, align: "right" });
const percent = (part: number, all: number): string => (all === 0 ? "–" : `${((100 * part) / all).toFixed(1)} %`);

function recitationText({ report, file }: MemoriseResult): string {
  const { run, step, prompt, continuation, share, sources, canaries, most_exposure: most } = report;
  const test = `${prompt} tokens of a text are the prompt. Of the next ${continuation}, at most ${Math.floor(share * continuation)} differ if approximate.`;
  const sourceRows = sources.map(({ name, split, documents, tested, exact, approximate, personal }) => [
    name,
    split === "heldout" ? "held out" : "trained",
    String(documents),
    String(tested),
    percent(exact, tested),
    percent(approximate, tested),
    Object.entries(personal)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(", "),
  ]);
  const canaryRows = canaries.map(({ times, documents, tested, exact, approximate, secrets, extracted, exposure }) => [
    times === 0 ? "none" : String(times),
    String(documents),
    String(tested),
    percent(exact, tested),
    percent(approximate, tested),
    percent(extracted, secrets),
    exposure === null ? "–" : `${exposure.toFixed(1)} of ${most.toFixed(1)} bits`,
  ]);
  const tested = [right("documents"), right("tested"), right("exact"), right("approximate")];
  return [
    `${run}${step === null ? "" : `, step ${step}`}: ${test}`,
    ...(sources.length === 0
      ? []
      : [textTable([{ title: "source" }, { title: "" }, ...tested, { title: "personal data in output" }], sourceRows)]),
    ...passesText(report),
    ...(canaries.length === 0 ? [] : [textTable([right("copies"), ...tested, right("secret given"), right("exposure")], canaryRows)]),
    ...(file === undefined ? [] : [`${file}: for \`lapidary data card\``]),
  ].join("\n\n");
}

/** Recitation by the number of times that the run read the tokens, if it read some more often than others. */
function passesText({ sources }: MemoriseResult["report"]): readonly string[] {
  const rows = sources.flatMap(({ name, split, passes }) =>
    split === "heldout" || Object.keys(passes).length < 2
      ? []
      : Object.entries(passes).map(([times, { tested, exact, approximate }]) => [
          name,
          times,
          String(tested),
          percent(exact, tested),
          percent(approximate, tested),
        ]),
  );
  if (rows.length === 0) return [];
  return [textTable([{ title: "source" }, right("times read"), right("tested"), right("exact"), right("approximate")], rows)];
}
