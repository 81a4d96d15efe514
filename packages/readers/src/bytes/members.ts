/**
 * A compressed file is a list of members (gzip) or frames (zstd). A decompressor yields the bytes of each, and then
 * whether the member was whole.
 */
export type MemberEvent = { readonly bytes: Uint8Array } | { readonly end: MemberEnd };

/**
 * `truncated`: the file ends inside of the member; its bytes are right as far as they go. `checksum`: none of its bytes
 * can be trusted, and the next member follows. Other texts say why nothing more of the file can be read.
 */
export type MemberEnd = "whole" | "truncated" | "checksum" | { readonly damage: string };
