import { resolve } from "node:path";
import {
  type CheckpointContents,
  type CheckpointLocation,
  inspectCheckpoint as readContents,
  listCheckpoints as checkpointsOf,
  type ListedCheckpoint,
  readForExport,
  resolveCheckpoint,
  type VerifiedCheckpoint,
  verifyCheckpoint as readAndCheck,
} from "@lapidary/offline/checkpoints";
import { ExitCode, LapidaryError, formatBytes, formatCount, textTable, counted } from "@lapidary/std";
import type { Context } from "../context.js";
import { checkOutput, writeOutputDirectory } from "../output/output.js";
import { consoleReporter } from "../terminal/console-reporter.js";

/** The checkpoints of a run, or of all runs. */
export async function listCheckpoints({ console, home }: Context, run: string | undefined): Promise<ExitCode> {
  const checkpoints = checkpointsOf(home, run);
  console.result({ checkpoints }, () => (checkpoints.length === 0 ? "no checkpoints yet" : checkpointTable(checkpoints)));
  return ExitCode.done;
}

function checkpointTable(checkpoints: readonly ListedCheckpoint[]): string {
  const columns = [
    { title: "run" },
    { title: "step", align: "right" },
    { title: "weights", align: "right" },
    { title: "written (UTC)" },
    { title: "directory" },
  ] as const;
  return textTable(
    columns,
    checkpoints.map(({ run, step, bytes, time, path }) => [
      run,
      String(step),
      formatBytes(bytes),
      new Date(time).toISOString().slice(0, 19).replace("T", " "),
      path,
    ]),
  );
}

/** The tensors of a checkpoint. */
export async function inspectCheckpoint(context: Context, from: string): Promise<ExitCode> {
  const { console } = context;
  const location = await resolveCheckpoint(context, from);
  const contents = await readContents(location, (warning) => console.warn(warning));
  const { config, parameters, tensors, redundant, notRead, warnings } = contents;
  const { directory, run = null, step = null } = location;
  console.result({ directory, run, step, config, parameters, tensors, redundant, not_read: notRead, warnings }, () =>
    contentsText(location, contents),
  );
  return ExitCode.done;
}

function contentsText({ directory, run, step }: CheckpointLocation, contents: CheckpointContents): string {
  const { architecture, parameters, tensors, redundant, notRead } = contents;
  const { layers, modelDim, heads, kvHeads, headDim, mlpDim, vocabSize, contextLength } = contents.config;
  return [
    ...(run === undefined ? [] : [`run ${run}, step ${step}`]),
    directory,
    `${architecture}, ${formatCount(parameters)} parameters: ${counted(layers, "layer")} of width ${modelDim}, ${counted(heads, "head")} (${kvHeads} for keys and values) of ${headDim}, MLP ${mlpDim}, vocabulary ${vocabSize}, context ${contextLength}`,
    "",
    textTable(
      [{ title: "tensor" }, { title: "dims" }, { title: "parameters", align: "right" }],
      tensors.map((tensor) => [tensor.name, tensor.dims.join(" × "), formatCount(tensor.parameters)]),
    ),
    ...(redundant.length === 0 ? [] : ["", `redundant: ${redundant.join(", ")}`]),
    ...(notRead.length === 0 ? [] : ["", `weights in other files, not read: ${notRead.join(", ")}`]),
  ].join("\n");
}

/** Reads and checks a whole checkpoint. */
export async function verifyCheckpoint(context: Context, from: string): Promise<ExitCode> {
  const { console, interrupts } = context;
  const location = await resolveCheckpoint(context, from);
  const reporter = consoleReporter(console);
  const verified = await readAndCheck(location, reporter, interrupts.signal);
  reporter.end();
  const { tensors, bytes, redundant, sealed, warnings } = verified;
  const { directory } = location;
  console.result({ ok: true, directory, tensors, bytes, redundant, sealed, warnings }, () => verifiedText(directory, verified));
  return ExitCode.done;
}

function verifiedText(directory: string, { tensors, bytes, redundant, sealed }: VerifiedCheckpoint): string {
  const repeated = redundant.length === 0 ? "" : `; ${redundant.join(", ")} repeat${redundant.length === 1 ? "s" : ""} what the model has`;
  return `${directory}: ${counted(tensors, "tensor")}, ${formatBytes(bytes)} as f32, whole and finite${repeated}${sealed ? ", every byte as its manifest says" : ""}`;
}

/** Writes a directory that Hugging Face transformers loads. */
export async function exportCheckpoint(context: Context, from: string, output: string): Promise<ExitCode> {
  const { console, cwd } = context;
  const location = await resolveCheckpoint(context, from);
  const target = resolve(cwd, output);
  if (target === location.directory)
    throw new LapidaryError({
      code: "LAP_CHECKPOINT_SELF",
      message: "a checkpoint cannot be exported onto itself",
      location: target,
    });
  const what = "the checkpoint";
  checkOutput({ kind: "directory", path: target, what });
  const reporter = consoleReporter(console);
  reporter.progress("export", `to ${target}`);
  try {
    const { files, warnings, write } = await readForExport(location, reporter.warn);
    await writeOutputDirectory(target, what, () => write(target));
    reporter.end();
    console.result(
      { directory: target, files, run: location.run ?? null, step: location.step ?? null, warnings },
      () => `${target}: ${files.join(", ")}`,
    );
    console.say(`in Python: AutoModelForCausalLM.from_pretrained(${JSON.stringify(output)})`);
  } finally {
    reporter.end();
  }
  return ExitCode.done;
}
