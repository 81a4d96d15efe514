import { ensure } from "@lapidary/std";
import { firstPieceId } from "../../vocabulary.js";
import { spaceMarker } from "../normalizer.js";
import { anyScript, Scripts } from "./scripts.js";

/** Maximum number of characters of a piece. */
const maxPieceCharacters = 16;

interface Traits {
  readonly length: number;
  /** `anyScript` if the piece has only spaces and combining marks. */
  readonly script: number;
  readonly spaces: "none" | "first" | "all";
  readonly isDigit: boolean;
}

/**
 * Which pairs may become pieces (`IsValidSentencePiece` of SentencePiece with `split_digits` and `allow_whitespace_only_pieces`): at most 16
 * characters of one script, no digit, and spaces only as the first character or alone. The rules depend only on the two halves.
 */
export class PieceRules {
  readonly #scripts = new Scripts();
  readonly #traits: Traits[] = [];

  addCharacter(id: number, character: string): void {
    const isSpace = character === spaceMarker;
    this.#traits[id - firstPieceId] = {
      length: 1,
      script: isSpace ? anyScript : this.#scripts.of(character),
      spaces: isSpace ? "all" : "none",
      isDigit: /^[0-9\uff10-\uff19]$/.test(character),
    };
  }

  addMerged(id: number, left: number, right: number): void {
    const [a, b] = [this.#of(left), this.#of(right)];
    this.#traits[id - firstPieceId] = {
      length: a.length + b.length,
      script: a.script === anyScript ? b.script : a.script,
      spaces: a.spaces === "all" && b.spaces !== "all" ? "first" : a.spaces,
      isDigit: false,
    };
  }

  lengthOf(id: number): number {
    return this.#of(id).length;
  }

  allowed(left: number, right: number): boolean {
    const [a, b] = [this.#of(left), this.#of(right)];
    if (a.isDigit || b.isDigit || a.length + b.length > maxPieceCharacters) return false;
    if (b.spaces === "all" ? a.spaces !== "all" : b.spaces === "first" || (a.spaces === "all" && a.length > 1)) return false;
    return a.script === anyScript || b.script === anyScript || a.script === b.script;
  }

  #of(id: number): Traits {
    return ensure(this.#traits[id - firstPieceId], "traits of the piece");
  }
}
