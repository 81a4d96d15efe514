/** A document of the corpus. */
export interface BenchDocument {
  readonly name: string;
  readonly text: string;
}

/** Handles one document. Returns the bytes that the stage writes for it; undefined if the document is dropped. */
export type StageFunction = (document: BenchDocument) => string | Uint8Array | undefined;

/** The files that stages read in addition to the corpus; absolute. */
export interface StageFiles {
  /** The directory of fixtures with labelled documents and evaluation items. */
  readonly fixtures: string;
  /** A `.model` file of SentencePiece. */
  readonly tokenizer: string;
  /** The same vocabulary as a unigram model. */
  readonly unigram: string;
}

/** A step of a data pipeline that the benchmark times. */
export interface Stage {
  readonly name: string;
  /** What the stage does to a document. */
  readonly summary: string;
  /** The program that does the same in the peer; undefined if there is none that works without a network. */
  readonly peer: "datatrove" | "SentencePiece" | undefined;
  /** The ratio of both speeds that the project wants; undefined if it wants none. */
  readonly goal: number | undefined;
  /** Reads the files, which is not timed. */
  open(files: StageFiles): StageFunction;
}

export const jsonLine = ({ name: id, text }: BenchDocument): string => `${JSON.stringify({ id, text })}\n`;
