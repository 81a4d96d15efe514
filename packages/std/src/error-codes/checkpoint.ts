import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: checkpoints, weights and golden bundles. */
export const checkpointErrors = {
  LAP_CHECKPOINT_NOT_FOUND: { exit: ExitCode.notFound, recoverable: false, summary: "No run or directory of this name has a checkpoint." },
  LAP_CHECKPOINT_MISSING: { exit: ExitCode.usage, recoverable: false, summary: "The directory lacks a file of a checkpoint or a bundle." },
  LAP_CHECKPOINT_FORM: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The path holds something else than a checkpoint that Lapidary reads.",
  },
  LAP_CHECKPOINT_AMBIGUOUS: { exit: ExitCode.usage, recoverable: false, summary: "The directory has two sets of weights." },
  LAP_CHECKPOINT_INDEX: { exit: ExitCode.usage, recoverable: false, summary: "The index of the shards is invalid." },
  LAP_CHECKPOINT_JSON: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A JSON file of the checkpoint cannot be parsed.",
    remedy: "fetch or write the file again",
  },
  LAP_CHECKPOINT_CONFIG: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "Lapidary cannot compute the model that config.json describes.",
    remedy:
      "use a checkpoint of a supported family (docs/model-families.md) whose config.json contains all of its dimensions, or a checkpoint of Lapidary",
  },
  LAP_CHECKPOINT_TENSOR: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A tensor is missing, unknown, or has another shape or dtype.",
  },
  LAP_CHECKPOINT_NOT_FINITE: { exit: ExitCode.other, recoverable: false, summary: "A weight is NaN or infinite." },
  LAP_CHECKPOINT_STATE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The optimizer state of the checkpoint does not match its weights or the run.",
  },
  LAP_CHECKPOINT_TOKENIZER: { exit: ExitCode.usage, recoverable: false, summary: "The checkpoint has no tokenizer that Lapidary reads." },
  LAP_CHECKPOINT_ZARR: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A Zarr array of an Orbax checkpoint cannot be read.",
    remedy: "copy the complete checkpoint again; Lapidary reads only Orbax checkpoints that its own run.py wrote",
  },
  LAP_CHECKPOINT_DAMAGED: {
    exit: ExitCode.other,
    recoverable: false,
    summary: "A file of the checkpoint differs from its checksum.",
    remedy: "take the checkpoint before it: `lapidary ckpt list` shows them",
  },
  LAP_CHECKPOINT_WRITE: { exit: ExitCode.jobFailed, recoverable: false, summary: "The checkpoint could not be written." },
  LAP_CHECKPOINT_SELF: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A checkpoint cannot be exported to its own directory.",
    remedy: "choose another directory with -o",
  },
  LAP_FILE_KIND: { exit: ExitCode.usage, recoverable: false, summary: "A file has another format than its name or its role says." },
  LAP_FILE_UNREADABLE: { exit: ExitCode.usage, recoverable: false, summary: "A file or directory of the checkpoint cannot be opened." },
  LAP_SAFETENSORS_TRUNCATED: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A safetensors file is shorter than its header says.",
    remedy: "fetch or write the file again: it is incomplete",
  },
  LAP_SAFETENSORS_HEADER: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The header of a safetensors file is invalid.",
    remedy: "write the file again with a safetensors library: it is damaged, or not a safetensors file",
  },
  LAP_SAFETENSORS_TENSOR: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The header of a safetensors file describes a tensor wrongly.",
    remedy: "write the file again with a safetensors library: it is damaged, or not a safetensors file",
  },
  LAP_SAFETENSORS_DTYPE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A safetensors file has a dtype that Lapidary does not read.",
    remedy: "convert it to F32, F16, BF16, I32 or I64, in Python: tensor.to(torch.float32); dequantize weights of 8 bits or fewer first",
  },
  LAP_SAFETENSORS_VALUE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A value of a safetensors file does not fit the requested type.",
    remedy: "write the file again with a safetensors library: it is damaged, or not a safetensors file",
  },
  LAP_PARITY_BUNDLE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A golden bundle is invalid.",
    remedy: "make the bundle again, or name another directory",
  },
  LAP_PARITY_MANIFEST: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The manifest of a golden bundle is invalid.",
    remedy: "make the bundle again: the manifest states step_losses and the settings of adamw",
  },
  LAP_PARITY_OPTION: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "An option of `lapidary parity` does not apply to the golden bundle.",
  },
} as const satisfies ErrorTable;
