import { createRequire } from "node:module";
import { libraryPath } from "@lapidary/native";

/**
 * Lets go of what this process has read from files and does not need now, and of heap that is free: bytes of mappings that were resident. What is needed after all comes back from
 * the page cache. Without the module, which set-up builds where it can, nothing happens.
 */
export const releaseMemory: () => number = load();

function load(): () => number {
  try {
    return (createRequire(import.meta.url)(libraryPath("memory")) as { releaseMappings(): number }).releaseMappings;
  } catch {
    return () => 0;
  }
}
