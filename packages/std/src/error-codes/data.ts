import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: corpora and tokenizers. */
export const dataErrors = {
  LAP_DATA_MISSING: { exit: ExitCode.usage, recoverable: false, summary: "The corpus does not exist." },
  LAP_DATA_UNREADABLE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The corpus cannot be read.",
    remedy: "check that it is a readable file or directory",
  },
  LAP_DATA_EMPTY: { exit: ExitCode.usage, recoverable: false, summary: "The corpus contains no text." },
  LAP_DATA_NOT_UTF8: { exit: ExitCode.usage, recoverable: false, summary: "A file of the corpus is not valid UTF-8." },
  LAP_DATA_NOT_TEXT: { exit: ExitCode.usage, recoverable: false, summary: "A file of the corpus is not text." },
  LAP_DATA_ARCHIVE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A compressed file of the corpus is damaged.",
    remedy: "fetch the file again: it was cut off or changed on its way",
  },
  LAP_DATA_JSONL: { exit: ExitCode.usage, recoverable: false, summary: "A line of a JSONL file is invalid." },
  LAP_DATA_TOO_LARGE: { exit: ExitCode.usage, recoverable: false, summary: "The corpus is larger than the limit." },
  LAP_DATA_TOO_SMALL: { exit: ExitCode.usage, recoverable: false, summary: "The corpus is too small for the batch or for evaluation." },
  LAP_DATA_SETTING: { exit: ExitCode.usage, recoverable: false, summary: "A setting of the dataset or the tokenizer is out of range." },
  LAP_DATA_VOCABULARY: { exit: ExitCode.usage, recoverable: false, summary: "The vocabulary of the model is too small for the tokenizer." },
  LAP_DATA_TOKENIZER: { exit: ExitCode.usage, recoverable: false, summary: "The tokenizer cannot be read." },
  LAP_DATA_TOKEN_ID: { exit: ExitCode.usage, recoverable: false, summary: "A token id is outside the vocabulary." },
  LAP_DATA_DATASET: { exit: ExitCode.usage, recoverable: false, summary: "A prepared dataset is incomplete or damaged." },
  LAP_TOKENIZER_UNSUPPORTED: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The tokenizer has a part that Lapidary cannot compute exactly.",
  },
  LAP_TOKENIZER_CONFLICT: { exit: ExitCode.usage, recoverable: false, summary: "A checkpoint has two different tokenizers." },
  LAP_TOKENIZER_VOCAB: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The ids of the tokenizer do not match the vocabulary of the model.",
  },
} as const satisfies ErrorTable;
