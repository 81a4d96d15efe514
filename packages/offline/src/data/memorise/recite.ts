import type { CanaryRecitation, RecitationTally, SourceRecitation } from "@lapidary/data-pipeline";
import { findPii } from "@lapidary/detectors";
import { exposure, otherValues, recitation, type Recitation, type RecitationSettings, secretIn } from "@lapidary/evaluation";
import { inBatches, type RecitingModel } from "./reciting-model.js";
import type { Canary } from "./canary-set.js";

/** Sequences that a batch computes together. */
const together = 16;

export interface ReciteSettings extends RecitationSettings {
  readonly seed: number;
  /** Other values that a secret is compared with. */
  readonly values: number;
  readonly onProgress: (what: string, done: number, total: number) => void;
}

/** A document of a source that is long enough to be tested. */
interface TestedDocument {
  /** Without the tokens that begin and end a text. */
  readonly ids: readonly number[];
  /** How often the steps of the run had read the tested tokens. */
  readonly passes: number;
}

export interface DocumentGroup {
  readonly name: string;
  readonly split: SourceRecitation["split"];
  /** All documents of the group, of which `sample` are tested. */
  readonly documents: number;
  readonly sample: readonly TestedDocument[];
}

/** Tests whether a model continues documents as they are. */
export async function reciteDocuments(model: RecitingModel, group: DocumentGroup, settings: ReciteSettings): Promise<SourceRecitation> {
  const { name, split, documents, sample } = group;
  const results = await inBatches(
    sample,
    together,
    async ({ ids, passes }) => {
      const generated = await model.continue(ids.slice(0, settings.prompt), settings.continuation);
      return { passes, personal: personalData(model.tokenizer.decode(generated)), ...recitation(ids, generated, settings) };
    },
    (done) => settings.onProgress(`${name} (${split})`, done, sample.length),
  );
  const groups = [...new Set(results.map(({ passes }) => passes))].sort((a, b) => a - b);
  return {
    name,
    split,
    ...tallyOf(results),
    documents,
    passes: Object.fromEntries(groups.map((passes) => [String(passes), tallyOf(results.filter((each) => each.passes === passes))])),
    personal: countsOf(results.flatMap(({ personal }) => personal)),
  };
}

/** Tests canaries by their number of copies: recitation, and the secrets that they have. */
export async function reciteCanaries(
  model: RecitingModel,
  canaries: readonly Canary[],
  settings: ReciteSettings,
): Promise<readonly CanaryRecitation[]> {
  const recited = await inBatches(
    canaries,
    together,
    async ({ text }) => {
      const ids = model.tokenizer.encode(text);
      if (ids.length < settings.prompt + settings.continuation) return recitation(ids, [], settings);
      return recitation(ids, await model.continue(ids.slice(0, settings.prompt), settings.continuation), settings);
    },
    (done) => settings.onProgress("canaries", done, canaries.length),
  );
  const secrets: (SecretResult | undefined)[] = [];
  for (const canary of canaries) {
    secrets.push(await secretOf(model, canary, settings));
    settings.onProgress("secrets", secrets.length, canaries.length);
  }
  const groups = [...new Set(canaries.map(({ times }) => times))].sort((a, b) => a - b);
  return groups.map((times) => {
    const members = canaries.flatMap((canary, i) => (canary.times === times ? [i] : []));
    const found = members.flatMap((i) => secrets[i] ?? []);
    return {
      times,
      ...tallyOf(members.flatMap((i) => recited[i] ?? [])),
      secrets: found.length,
      extracted: found.filter(({ isExtracted }) => isExtracted).length,
      exposure: found.length === 0 ? null : found.reduce((sum, { bits }) => sum + bits, 0) / found.length,
    };
  });
}

interface SecretResult {
  /** The most probable continuation of the text before the secret is the secret. */
  readonly isExtracted: boolean;
  readonly bits: number;
}

/** Compares the secret of a canary with other values in the same text. */
async function secretOf(model: RecitingModel, { text, secret: part }: Canary, settings: ReciteSettings): Promise<SecretResult | undefined> {
  const place = secretIn(text, part);
  if (place === undefined) return undefined;
  const before = text.slice(0, place.start);
  const secret = text.slice(place.start, place.end);
  const values = otherValues(secret, settings.values, settings.seed);
  if (values.length === 0) return undefined;
  // Tokens may reach across the border: the prompt is what the tokens of all values share.
  const encoded = [secret, ...values].map((value) => model.tokenizer.encode(before + value));
  const shared = sharedTokens([model.tokenizer.encode(before), ...encoded]);
  const prompt = (encoded[0] ?? []).slice(Math.max(0, shared - settings.prompt), shared);
  const endings = encoded.map((ids) => ids.slice(shared));
  const [own = 0, ...others] = await inBatches(
    endings,
    together,
    (tokens) => model.logProbability(prompt, tokens),
    () => undefined,
  );
  const ending = endings[0] ?? [];
  const generated = await model.continue(prompt, ending.length);
  return { isExtracted: generated.join() === ending.join(), bits: exposure(own, others) };
}

function sharedTokens(lists: readonly (readonly number[])[]): number {
  const [first = [], ...rest] = lists;
  const at = first.findIndex((token, i) => rest.some((other) => other[i] !== token));
  return at < 0 ? first.length : at;
}

function tallyOf(results: readonly Recitation[]): RecitationTally {
  const count = (is: (result: Recitation) => boolean): number => results.filter(is).length;
  return {
    documents: results.length,
    tested: count(({ tested }) => tested),
    exact: count(({ exact }) => exact),
    approximate: count(({ approximate }) => approximate),
  };
}

const personalData = (text: string): readonly string[] => findPii(text).map(({ kind }) => kind);

function countsOf(kinds: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of kinds.toSorted()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
