import type { CommandSpec } from "./command-line/spec.js";
import { idArgument } from "./tree-arguments.js";

/** `lapidary ckpt …`. */
export const ckptCommand: CommandSpec = {
  name: "ckpt",
  summary: "list, inspect, verify and export checkpoints",
  group: "Models and checkpoints:",
  examples: ["lapidary ckpt list quickstart-1", "lapidary ckpt export quickstart-1 -o gemma-mine"],
  commands: [
    {
      name: "list",
      summary: "checkpoints of a run, or of all",
      arguments: [{ ...idArgument, optional: true }],
      examples: ["lapidary ckpt list", "lapidary ckpt list quickstart-1 --json"],
      run: async (context, args) => (await import("./commands/ckpt.js")).listCheckpoints(context, args.text("id")),
    },
    {
      name: "inspect",
      summary: "the tensors of a checkpoint",
      arguments: [{ name: "from", description: "a run, or the directory of a checkpoint", completes: "run" }],
      examples: ["lapidary ckpt inspect quickstart-1", "lapidary ckpt inspect ./gemma-2b"],
      run: async (context, args) => (await import("./commands/ckpt.js")).inspectCheckpoint(context, args.required("from")),
    },
    {
      name: "verify",
      summary: "read every tensor and check it",
      arguments: [{ name: "from", description: "a run, or the directory of a checkpoint", completes: "run" }],
      examples: ["lapidary ckpt verify quickstart-1", "lapidary ckpt verify ./gemma-2b --json"],
      run: async (context, args) => (await import("./commands/ckpt.js")).verifyCheckpoint(context, args.required("from")),
    },
    {
      name: "export",
      summary: "write a directory that Hugging Face transformers loads",
      arguments: [{ name: "from", description: "a run, or the directory of a checkpoint", completes: "run" }],
      options: [
        {
          flags: "-o, --output <dir>",
          description: "the directory to write",
          completes: "directory",
          access: "write",
          mandatory: true,
        },
      ],
      examples: ["lapidary ckpt export quickstart-1 -o gemma-mine", "lapidary ckpt export ./gemma-2b -o gemma-copy"],
      run: async (context, args) =>
        (await import("./commands/ckpt.js")).exportCheckpoint(context, args.required("from"), args.required("output")),
    },
  ],
};
