import { ExitCode } from "@lapidary/std";
import { completionScript } from "../command-line/completion.js";
import type { Context } from "../context.js";
import { commandTree } from "../tree.js";

export async function completion(context: Context, shell: string): Promise<ExitCode> {
  const script = completionScript(commandTree, shell);
  context.console.result({ shell, script }, () => script);
  return ExitCode.done;
}
