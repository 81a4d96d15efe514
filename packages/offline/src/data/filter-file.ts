import {
  contaminationFilter,
  duplicateFilter,
  evaluationTexts,
  type ExampleFilter,
  type FilterName,
  type FilterReport,
  filterExamples,
  filterNames,
  identityFilter,
  piiFilter,
  readExamples,
  type RefusedRow,
  requireExamples,
  rowTexts,
  schemaFilter,
  unsafeFilter,
} from "@lapidary/data";
import { type Clock, LapidaryError, suggest } from "@lapidary/std";
import type { Reporter } from "../reporter.js";
import { readClassifier } from "./train-classifier.js";

export interface FilterFileRequest {
  /** The file of examples; absolute. */
  readonly file: string;
  /** In the order of their application; without names all that need no further file. */
  readonly filters: readonly string[] | undefined;
  /** Files that models are evaluated on, for the filter of contamination; absolute. */
  readonly against: readonly string[];
  /** Names and makers that the trained model has. */
  readonly own: readonly string[];
  /** A file that `lapidary data classifier` wrote, for the filter of unsafe texts; absolute. */
  readonly classifier: string | undefined;
}

export interface FilteredFile {
  /** The format of the examples. */
  readonly format: string;
  /** Rows of the file, refused ones included. */
  readonly rows: number;
  /** Rows that are not examples. */
  readonly refused: readonly RefusedRow[];
  readonly reports: readonly FilterReport[];
  /** Every row that a filter removed, with its reason. */
  readonly removed: readonly RefusedRow[];
  /** The kept rows, as they are in the file. */
  readonly kept: readonly string[];
}

/** Applies filters to the examples of a file. A row that one filter removes does not reach the next. */
export function filterFile(
  request: FilterFileRequest,
  { clock, reporter }: { readonly clock: Clock; readonly reporter: Pick<Reporter, "progress"> },
): FilteredFile {
  const { file } = request;
  const chosen = chosenFilters(request);
  reporter.progress("read the examples", file);
  const read = readExamples(file, { columns: "keep" });
  requireExamples(read);
  const filters = chosen.map((name) => openFilter(name, request));
  reporter.progress("filter", chosen.join(", "));
  const { kept, refused: removed, reports } = filterExamples(read.examples, filters, clock);
  return {
    format: read.format ?? "",
    rows: read.examples.length + read.refused.length,
    refused: read.refused,
    reports,
    removed,
    kept: rowTexts(file, new Set(kept.map(({ row }) => row))),
  };
}

function chosenFilters({ filters: names, against, classifier }: FilterFileRequest): readonly FilterName[] {
  if (names === undefined) return filterNames.filter((name) => name !== "contamination" || against.length > 0);
  const chosen = names.map((name) => filterNamed(name));
  const isNamed = chosen.includes("contamination");
  if (isNamed && against.length === 0)
    throw badFilter("contamination", "the filter contamination compares with evaluation sets", "add --against FILE");
  if (!isNamed && against.length > 0)
    throw badFilter("against", "only the filter contamination reads evaluation sets", "add contamination to --filters");
  if (classifier !== undefined && !chosen.includes("unsafe"))
    throw badFilter("classifier", "only the filter unsafe uses a classifier", "add unsafe to --filters");
  return chosen;
}

function filterNamed(text: string): FilterName {
  const known = filterNames.find((name) => name === text);
  if (known !== undefined) return known;
  const near = suggest(text, filterNames);
  throw badFilter(
    text,
    `there is no filter ${JSON.stringify(text)}`,
    near === undefined ? `filters are ${filterNames.join(", ")}` : `did you mean ${near}?`,
  );
}

const badFilter = (location: string, message: string, remedy: string): LapidaryError =>
  new LapidaryError({ code: "LAP_EXAMPLE_FILTER", message, location, remedy });

function openFilter(name: FilterName, { against, own, classifier }: FilterFileRequest): ExampleFilter {
  switch (name) {
    case "schema":
      return schemaFilter({});
    case "pii":
      return piiFilter();
    case "unsafe":
      return unsafeFilter({ classifier: classifier === undefined ? undefined : readClassifier(classifier) });
    case "identity":
      return identityFilter({ own });
    case "duplicates":
      return duplicateFilter();
    case "contamination":
      return contaminationFilter(against.flatMap((file) => evaluationTextsOf(file)));
  }
}

function evaluationTextsOf(file: string): ReturnType<typeof evaluationTexts> {
  const read = readExamples(file, { columns: "keep" });
  requireExamples(read);
  return evaluationTexts(read.examples);
}
