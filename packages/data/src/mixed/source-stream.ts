import { join } from "node:path";
import { type BytesPerId, MixtureStream, type Stage, TokenStream } from "@lapidary/mixture";
import type { SplitName } from "../dataset/manifest.js";
import type { MixtureSource } from "./mixture-manifest.js";
import type { MixtureRequest } from "./mixture-request.js";

/** The tokens of one split of a source: the parts of its shards, in order. */
export const sourceStream = (root: string, { shards }: MixtureSource, split: SplitName, bytesPerId: BytesPerId): TokenStream =>
  new TokenStream(
    shards.map(({ tokens, heldout, train }) => ({
      path: join(root, tokens),
      fileTokens: heldout.tokens + train.tokens,
      first: split === "heldout" ? 0 : heldout.tokens,
      count: split === "heldout" ? heldout.tokens : train.tokens,
    })),
    bytesPerId,
  );

/** Rows of a stream: row i has the tokens from i·T to i·T + T. The last row may be padded. */
export const rowsOfTokens = (tokens: number, seq: number): number => (tokens < 2 ? 0 : Math.ceil((tokens - 1) / seq));

/** The stream of the rows of a mixture. @throws LapidaryError LAP_MIXTURE_STAGES, LAP_MIXTURE_EMPTY */
export const streamOf = (
  sources: readonly MixtureSource[],
  stages: readonly Stage[],
  { seed, batch, seq }: Pick<MixtureRequest, "seed" | "batch" | "seq">,
): MixtureStream =>
  new MixtureStream({
    sources: sources.map(({ name, train }) => ({ name, sequences: rowsOfTokens(train.tokens, seq) })),
    stages,
    batch,
    seed,
  });
