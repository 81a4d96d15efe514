import { loadMemory } from "@lapidary/native";

/**
 * Releases the pages of files that this process has read and does not need now, and free heap. Returns the bytes of the
 * released pages. Without the native library it does nothing.
 */
export const releaseMemory: () => number = loadMemory()?.releaseMappings ?? (() => 0);
