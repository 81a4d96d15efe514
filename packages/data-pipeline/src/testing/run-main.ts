import { argv, stdout } from "node:process";
import { systemClock } from "@lapidary/std";
import { readPipeline } from "../file/pipeline-file.js";
import { Progress } from "../run/progress.js";
import { runPipeline } from "../run/run-pipeline.js";

// Runs a pipeline with child processes, and writes a line for each object: node run-main.js FILE.
const progress = new Progress(systemClock, (phase) => {
  if (phase === "run the pipeline") stdout.write(`${phase}\n`);
});
const pipeline = readPipeline(argv[2] ?? "");
await runPipeline({ pipeline, workers: 1, signal: new AbortController().signal, progress, warn: () => undefined });
