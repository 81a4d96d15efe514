import { libraryPath } from "./library-path.js";
import { type FunctionNames, hasFunctions, loadLibrary } from "./load-library.js";

/** The exports of the memory library. */
export interface MemoryLibrary {
  /**
   * Releases the pages of files that this process has read and does not need now, and free heap. Pages that are needed
   * again are read from the page cache.
   *
   * @returns bytes of the released pages
   */
  releaseMappings(): number;
}

const memoryFunctions: FunctionNames<MemoryLibrary> = { releaseMappings: true };

/** Undefined if the library is missing. */
export function loadMemory(path = libraryPath("memory")): MemoryLibrary | undefined {
  const library = loadLibrary(path);
  return typeof library !== "string" && hasFunctions<MemoryLibrary>(library, memoryFunctions) ? library : undefined;
}
