import type { SourceDocument } from "../document.js";

/** A document of a file. The account knows that it entered, and not yet that it is delivered. */
export type FoundDocument = Pick<SourceDocument, "place" | "name" | "text" | "mediaType">;
