import type { Warning } from "@lapidary/std";
import { globalOptions } from "./global-options.js";
import type { CommandSpec } from "./spec.js";

/** A renamed option, or a renamed value of an option. The old form works for one release, with a warning. */
export interface RenamedOption {
  /** Path of the command: `lapidary export`. */
  readonly command: string;
  /** `--option`, or `--option value`. */
  readonly old: string;
  readonly current: string;
}

export const renamedOptions: readonly RenamedOption[] = [
  { command: "lapidary export", old: "--without-data", current: "--no-data" },
  { command: "lapidary export", old: "--axis-wise", current: "--split-all-reduce" },
  { command: "lapidary export", old: "--state files", current: "--state values" },
  { command: "lapidary export", old: "--state recipe", current: "--state init-spec" },
];

/**
 * Replaces the old forms in a command line by the current ones. Parser, help and completion know only the current forms.
 *
 * @param argv without node and script
 */
export function replaceRenamedOptions(
  root: CommandSpec,
  argv: readonly string[],
  renames = renamedOptions,
): { readonly argv: readonly string[]; readonly warnings: readonly Warning[] } {
  const command = commandPath(root, argv);
  const own = renames.filter((rename) => rename.command === command);
  const words: string[] = [];
  const warnings: Warning[] = [];
  const end = argv.includes("--") ? argv.indexOf("--") : argv.length;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    const next = argv[i + 1];
    const matches = (text: string): boolean => i < end && own.some(({ old }) => old === text);
    const withValue = next === undefined ? word : `${word} ${next}`;
    const old = [withValue, word, word.replace("=", " ")].find(matches);
    const rename = own.find((candidate) => candidate.old === old);
    if (rename === undefined) {
      words.push(word);
      continue;
    }
    if (rename.old === withValue && rename.old !== word) i++;
    words.push(...rename.current.split(" "));
    warnings.push(renamedWarning(rename));
  }
  return { argv: words, warnings };
}

/** The path of the command that `argv` calls; options may precede each word of it. */
function commandPath(root: CommandSpec, argv: readonly string[]): string {
  const withValue = new Set(globalOptions.filter(({ flags }) => flags.includes("<")).map(({ flags }) => /--[a-z-]+/.exec(flags)?.[0]));
  let [command, path] = [root, root.name];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (withValue.has(word)) i++;
    if (word.startsWith("-")) continue;
    const child = command.commands?.find(({ name }) => name === word);
    if (child === undefined) return path;
    [command, path] = [child, `${path} ${word}`];
  }
  return path;
}

const renamedWarning = ({ command, old, current }: RenamedOption): Warning => ({
  code: "LAP_CLI_RENAMED",
  message: `\`${old}\` has the new name \`${current}\`; the old name works in this release only`,
  place: command,
  remedy: `write \`${current}\``,
});
