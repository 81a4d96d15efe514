import { batchOfStep, nodeDisk, readStepLog } from "@lapidary/checkpoint";
import { findDocuments, type MixtureDataset, type PlacedDocument, rowsOfBatch, rowsWith } from "@lapidary/data";
import { ensure, LapidaryError } from "@lapidary/std";
import type { Directories } from "../directories.js";
import { openRunData } from "./run-data.js";

/** A step of a run that trained on a document. */
interface DocumentStep {
  /** From 1. */
  readonly step: number;
  readonly row: number;
  /** How often the run had read the source before. */
  readonly epoch: number;
  readonly tokens: number;
}

export interface DocumentTrace {
  readonly document: string;
  readonly source: string;
  readonly split: "train" | "heldout";
  readonly tokens: number;
  readonly text: string;
  /** Steps that the run has committed. */
  readonly trained: number;
  readonly steps: readonly DocumentStep[];
}

export interface BatchTrace {
  readonly step: number;
  readonly batch: number;
  readonly rows: readonly {
    readonly row: number;
    readonly source: string;
    readonly epoch: number;
    readonly sequence: number;
    readonly documents: readonly { readonly id: string; readonly tokens: number; readonly in_row: number }[];
    readonly text: string;
  }[];
}

/**
 * The committed steps of a run that saw a document.
 *
 * @param id of the document in hex, or its first digits
 * @throws LapidaryError LAP_DATA_DOCUMENT, LAP_MIXTURE_HISTORY, LAP_DATA_…
 */
export async function whereDocument(directories: Directories, run: string, id: string): Promise<DocumentTrace> {
  const { dataset, directory } = await openRunData(directories, run);
  try {
    const document = oneDocument(dataset, id);
    const { commits, skips } = readStepLog(nodeDisk, directory);
    const trained = commits.at(-1)?.step ?? 0;
    const stepOf = new Map(Array.from({ length: trained }, (_, i) => [batchOfStep(i + 1, skips), i + 1]));
    const steps = rowsWith(dataset, document, trained + skips.length).flatMap(({ batch, row, epoch, tokens }) => {
      const step = stepOf.get(batch);
      return step === undefined ? [] : [{ step, row, epoch, tokens }];
    });
    const { source, split, start, tokens } = document;
    const text = dataset.tokenizer.decode(dataset.tokensOf(source, split).read(start, tokens));
    return { document: document.id, source: nameOf(dataset, source), split, tokens, text, trained, steps };
  } finally {
    dataset.close();
  }
}

/**
 * What was in the batch of a step, of any step of the job.
 *
 * @param step from 1
 * @throws LapidaryError LAP_DATA_STEP, LAP_MIXTURE_HISTORY, LAP_DATA_…
 */
export async function batchAt(directories: Directories, run: string, step: number): Promise<BatchTrace> {
  const { dataset, directory } = await openRunData(directories, run);
  try {
    const { steps } = dataset.manifest;
    if (step < 1 || step > steps)
      throw new LapidaryError({
        code: "LAP_DATA_STEP",
        message: `${run} has no step ${step}`,
        location: run,
        remedy: `name a step from 1 to ${steps}`,
      });
    const batch = batchOfStep(step, readStepLog(nodeDisk, directory).skips);
    const { tokenizer } = dataset;
    const rows = rowsOfBatch(dataset, batch).map(({ row, source, epoch, index, documents, ids }) => ({
      row,
      source: nameOf(dataset, source),
      epoch,
      sequence: index,
      documents: documents.map(({ id, tokens, inRow }) => ({ id, tokens, in_row: inRow })),
      text: tokenizer.decode(ids, { special: true }),
    }));
    return { step, batch, rows };
  } finally {
    dataset.close();
  }
}

const nameOf = (dataset: MixtureDataset, source: number): string => ensure(dataset.manifest.sources[source], "source").name;

function oneDocument(dataset: MixtureDataset, id: string): PlacedDocument {
  const refuse = (message: string, remedy: string): LapidaryError =>
    new LapidaryError({ code: "LAP_DATA_DOCUMENT", message, location: id, remedy });
  if (!/^[0-9a-f]{1,64}$/i.test(id))
    throw refuse(`${id} is not the id of a document`, "an id has 64 hexadecimal digits; its first digits suffice");
  const [first, second] = findDocuments(dataset, id.toLowerCase());
  if (first === undefined) throw refuse(`no source has the document ${id}`, "`lapidary data at RUN STEP` shows ids of documents");
  if (second !== undefined) throw refuse(`several documents have ids that begin with ${id}`, "give more digits of the id");
  return first;
}
