import { createHash } from "node:crypto";
import { type Graph, printGraph } from "@lapidary/ir";
import { type ProgramHash, type ProgramTensors, programHash, programTensors } from "@lapidary/protocol";

/** A program as it is on disk, crosses threads and goes to workers: the text of its per-chip graph, and the arrays that it reads and makes. JSON. */
export interface ProgramText extends ProgramTensors {
  /** Of the text. */
  readonly hash: ProgramHash;
  readonly text: string;
}

/** The hash of a text. */
export const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");

/** @param chip a per-chip program with a sharding on every value */
export function programText(chip: Graph): ProgramText {
  const text = printGraph(chip);
  return { text, hash: programHash(digestOf(text)), ...programTensors(chip) };
}
