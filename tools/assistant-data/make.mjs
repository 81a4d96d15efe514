#!/usr/bin/env node
/** `npm run assistant-data` writes the examples of `configs/pipelines/assistant` from the documentation as it is. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../setup/session.mjs";
import { assistantExamples, jsonLines } from "./examples.mjs";

const { commandTree } = await import("../../packages/cli/dist/tree.js");
const { train, heldOut } = assistantExamples(projectRoot, commandTree);
const directory = join(projectRoot, "configs/pipelines/assistant");
writeFileSync(join(directory, "train.jsonl"), jsonLines(train));
writeFileSync(join(directory, "held-out.jsonl"), jsonLines(heldOut));
process.stdout.write(`${train.length} training examples, ${heldOut.length} held out\n`);
