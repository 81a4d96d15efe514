import { type ErrorCode, LapidaryError } from "@lapidary/std";

/** The errors about a tokenizer: one function each. The codes never change. */

/** @param remedy if the default remedy does not apply */
export function badTokenizer(place: string, why: string, remedy = "fetch or write the tokenizer of the checkpoint again"): LapidaryError {
  return usage("LAP_DATA_TOKENIZER", `the tokenizer cannot be read: ${why}`, place, remedy);
}

export function unsupportedTokenizer(place: string, why: string): LapidaryError {
  return usage(
    "LAP_TOKENIZER_UNSUPPORTED",
    `the tokenizer cannot be computed exactly: ${why}`,
    place,
    "use a checkpoint with a BPE tokenizer.json of supported parts or a tokenizer.model (BPE or unigram), or set data.tokenizer to another tokenizer of the same ids; `data.tokenizer=train` trains a new one, whose ids do not match the weights of train.init",
  );
}

export function missingTokenizer(directory: string, found: string | undefined): LapidaryError {
  const convert = `python3 -c 'from transformers import AutoTokenizer as T; T.from_pretrained("${directory}").save_pretrained("${directory}")'`;
  return usage(
    "LAP_CHECKPOINT_TOKENIZER",
    found === undefined
      ? "the directory has no tokenizer: neither lapidary_tokenizer.json nor tokenizer.json nor tokenizer.model"
      : `the directory has ${found}, but neither tokenizer.json nor tokenizer.model`,
    directory,
    found === undefined
      ? "copy the tokenizer.json or tokenizer.model of the checkpoint there; for a job, set data.tokenizer to where it is (`data.tokenizer=train` trains a new one, whose ids do not match the weights)"
      : `write one (pip install transformers sentencepiece): ${convert}`,
  );
}

export function missingTokenizerPath(path: string): LapidaryError {
  return usage(
    "LAP_CHECKPOINT_MISSING",
    "directory or file of the tokenizer not found",
    path,
    "name the directory of a checkpoint, or its tokenizer.json or tokenizer.model",
  );
}

export function conflictingTokenizers(directory: string, what: string): LapidaryError {
  return usage(
    "LAP_TOKENIZER_CONFLICT",
    `lapidary_tokenizer.json and tokenizer.json are different tokenizers: ${what}`,
    directory,
    "keep the one that the weights were trained with, and remove the other file",
  );
}

/** @param min the number of control and byte tokens */
export function badVocabularySize(vocabSize: number, min: number, max: number): LapidaryError {
  return usage(
    "LAP_DATA_SETTING",
    `data.vocab is ${vocabSize}, but it must be a whole number from ${min} (the control and byte tokens) to ${max}`,
    "data.vocab",
    "choose another data.vocab",
  );
}

/** The ids of a tokenizer must be rows of the embedding. */
export function tokenizerTooLarge(place: string, ids: number, modelIds: number): LapidaryError {
  return usage(
    "LAP_TOKENIZER_VOCAB",
    `the tokenizer has ${ids} ids, and the model's vocabulary has ${modelIds}: ids ${modelIds} to ${ids - 1} have no embedding`,
    place,
    "use the tokenizer that belongs to the weights, or resize the embedding of the checkpoint first (resize_token_embeddings in transformers)",
  );
}

export function otherVocabulary(place: string, wanted: number, ids: number): LapidaryError {
  return usage(
    "LAP_TOKENIZER_VOCAB",
    `data.vocab is ${wanted}, but the tokenizer of the weights has ${ids} ids`,
    place,
    "remove data.vocab: the tokenizer of train.init is used; `data.tokenizer=train` trains a new one, whose ids do not match the weights",
  );
}

export function unknownTokenId(id: number, vocabSize: number): LapidaryError {
  return usage(
    "LAP_DATA_TOKEN_ID",
    `token ${id} is outside of the vocabulary of ${vocabSize}`,
    `token ${id}`,
    "use the tokenizer that the model was trained with",
  );
}

function usage(code: ErrorCode, message: string, location: string, remedy: string): LapidaryError {
  return new LapidaryError({ code, message, location, remedy });
}
