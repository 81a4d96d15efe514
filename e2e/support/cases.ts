import { join } from "node:path";
import { root } from "./cli.js";

/** The directory with the input of a case, such as `caseInput("43-tokenizer-of-init", "first.yaml")`. Tests read it and write elsewhere. */
export const caseInput = (...path: string[]): string => join(root, "e2e/cases", ...path);

/** A job that takes a second on 16 chips, with its text. */
export const tinyJob = caseInput("common/tiny.yaml");
