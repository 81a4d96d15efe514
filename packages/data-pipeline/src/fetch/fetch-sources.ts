import type { Pipeline } from "../file/pipeline-file.js";
import { fetchPackage, isFetched, packageDirectory } from "./fetch-package.js";

/** A source that a registry has. */
export interface FetchedSource {
  readonly source: string;
  readonly package: string;
  readonly licence: string;
  readonly directory: string;
  /** Whether it was downloaded now. It was there otherwise. */
  readonly isNew: boolean;
}

/**
 * Downloads what the sources of a pipeline fetch, one after the other. An interrupted download is repeated for the packages that are missing.
 *
 * @param onStart called before a download
 * @throws LapidaryError LAP_DATA_FETCH, LAP_DATA_DIGEST, LAP_FILE_…
 */
export async function fetchSources(
  pipeline: Pipeline,
  signal: AbortSignal,
  onStart: (source: string, name: string) => void,
): Promise<readonly FetchedSource[]> {
  const fetched: FetchedSource[] = [];
  for (const [source, { fetch, licence }] of Object.entries(pipeline.sources)) {
    if (fetch === undefined) continue;
    const isNew = !isFetched(pipeline.out, fetch);
    if (isNew) {
      onStart(source, fetch.npm);
      await fetchPackage(pipeline.out, fetch, pipeline.locationOf(["sources", source, "fetch"]), signal);
    }
    fetched.push({ source, package: fetch.npm, licence, directory: packageDirectory(pipeline.out, fetch), isNew });
  }
  return fetched;
}
