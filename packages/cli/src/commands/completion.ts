import { ExitCode } from "@lapidary/std";
import { completionScript } from "../command-line/completion.js";
import type { CommandSpec } from "../command-line/spec.js";
import type { Context } from "../context.js";

export async function completion(context: Context, root: CommandSpec, shell: string): Promise<ExitCode> {
  const script = completionScript(root, shell);
  context.console.result({ shell, script }, () => script);
  return ExitCode.done;
}
