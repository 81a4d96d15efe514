import { runStage, stageRequest } from "./run-stage.js";

/** The process of one stage: its only argument is the request as JSON, and it prints the times as JSON. */
process.stdout.write(`${JSON.stringify(await runStage(stageRequest.parse(JSON.parse(process.argv[2] ?? ""))))}\n`);
