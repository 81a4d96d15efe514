import { createHash } from "node:crypto";
import { type Graph, printGraph, textForDigest } from "@lapidary/ir";
import { type ProgramHash, type ProgramTensors, programHash, programTensors } from "@lapidary/protocol";

/** A program in the form for disk, threads and workers: the text of its per-chip graph, and the arrays that it reads and creates. JSON. */
export interface ProgramText extends ProgramTensors {
  /** Digest of `textForDigest`, which identifies the program. */
  readonly hash: ProgramHash;
  readonly text: string;
}

/** SHA-256 of a text. */
export const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");

/** @param chip a per-chip program with a sharding on every value */
export function programText(chip: Graph): ProgramText {
  return { text: printGraph(chip), hash: programHash(digestOf(textForDigest(chip))), ...programTensors(chip) };
}
