import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: corpora, examples for post-training and tokenizers. */
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
  LAP_EXAMPLE_JSON: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A row of a file of examples is not a JSON object.",
    remedy: "write one JSON object a line, or one JSON array of objects",
  },
  LAP_EXAMPLE_NOT_UTF8: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A row of a file of examples is not valid UTF-8.",
    remedy: "write the row again in UTF-8",
  },
  LAP_EXAMPLE_FORMAT: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The keys of a row match no format of examples, or another format than the other rows.",
  },
  LAP_EXAMPLE_KEY: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A row of a file of examples has a key that its format does not define.",
  },
  LAP_EXAMPLE_VALUE: { exit: ExitCode.usage, recoverable: false, summary: "A value of a row of examples has the wrong type." },
  LAP_EXAMPLE_EMPTY: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A text of a row of examples is empty.",
    remedy: "write the text, or remove the row",
  },
  LAP_EXAMPLE_ROLE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A dialogue has an unknown role, or its roles do not alternate.",
    remedy: "begin with the user, and let user and model alternate; one system text may come first",
  },
  LAP_EXAMPLE_NO_ANSWER: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A dialogue does not end with an answer of the model.",
    remedy: "add the answer, or write the dialogue in `prompt`",
  },
  LAP_EXAMPLE_PAIR: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The chosen and the rejected answer are equal, or have no common prompt.",
    remedy: "write two different answers to one prompt",
  },
  LAP_EXAMPLE_TOO_LONG: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A row of examples has more tokens than fit.",
    remedy: "shorten the example, or raise the sequence length",
  },
  LAP_EXAMPLE_CONTROL_TEXT: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The tokenizer cannot encode a text without control tokens.",
    remedy: "remove the name of the control token from the text",
  },
  LAP_EXAMPLE_FILTERED: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A filter removed a row of examples.",
    remedy: "correct the row, or remove the filter from data.filters",
  },
  LAP_EXAMPLE_NONE: { exit: ExitCode.usage, recoverable: false, summary: "A file of examples has no usable row." },
  LAP_EXAMPLE_TURN_TOKENS: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The tokenizer has no control tokens for the turns of a dialogue.",
    remedy: "use the tokenizer of a checkpoint whose vocabulary has <start_of_turn> and <end_of_turn>",
  },
  LAP_EXAMPLE_MIXTURE: { exit: ExitCode.usage, recoverable: false, summary: "The shares of a mixture of examples are invalid." },
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
