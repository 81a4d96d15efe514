import { ensure } from "@lapidary/std";
import { globalOptions } from "./global-options.js";
import type { ArgumentSpec, CommandSpec, Completes, OptionSpec } from "./spec.js";

/** A command with the words that lead to it: `["ckpt", "verify"]`. */
interface Leaf {
  readonly path: readonly string[];
  readonly spec: CommandSpec;
}

/**
 * A script for a shell that completes commands, options, their choices, job files and run names. It is made from the same tree
 * as the parser, so that both have the same commands.
 */
export function completionScript(root: CommandSpec, shell: string): string {
  switch (shell) {
    case "bash":
      return bashScript(root);
    case "zsh":
      return `#compdef ${root.name}\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(root)}`;
    default:
      return fishScript(root);
  }
}

// ---- bash ----

/** One `case` on the typed words. Every command completes to its subcommands, options and arguments. */
function bashScript(root: CommandSpec): string {
  const cases = leaves(root).map(({ path, spec }) => {
    const words = [...(spec.commands ?? []).map(({ name }) => name), ...optionWords([...(spec.options ?? []), ...globalOptions])];
    return `    ${quote(path.join(" "))}) words=${quote(words.join(" "))}; what=${quote(argumentWords(spec))} ;;`;
  });
  const withValue = [...new Set(leaves(root).flatMap(({ spec }) => spec.options ?? []))].concat(globalOptions).filter(takesValue);
  const values = withValue.map(
    (option) => `    ${namesOf(option).join("|")}) COMPREPLY=(${compgen(option.choices, option.completes)}); return ;;`,
  );
  const commandPaths = leaves(root)
    .filter(({ path }) => path.length > 0)
    .map(({ path }) => quote(path.join(" ")));
  return `# bash completion for ${root.name}: source <(${root.name} completion bash)
_${root.name}_runs() { ${root.name} jobs list --json 2>/dev/null | grep -o '"id":"[^"]*"' | cut -d'"' -f4; }
_${root.name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path="" words="" what="" word
  case "$previous" in
${values.join("\n")}
  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${path:+$path }$word" in
      ${commandPaths.join("|")}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ "$current" == -* ]] && return
  case "$what" in
    run) COMPREPLY+=($(compgen -W "$(_${root.name}_runs)" -- "$current") $(compgen -d -- "$current")) ;;
    job) COMPREPLY+=($(compgen -f -X '!*.y?(a)ml' -- "$current") $(compgen -d -S / -- "$current")) ;;
    file) COMPREPLY+=($(compgen -f -- "$current")) ;;
    directory) COMPREPLY+=($(compgen -d -- "$current")) ;;
    *) COMPREPLY+=($(compgen -W "$what" -- "$current")) ;;
  esac
}
complete -o filenames -F _${root.name} ${root.name}`;
}

function compgen(choices: readonly string[] | undefined, completes: Completes | undefined): string {
  if (choices !== undefined) return `$(compgen -W ${quote(choices.join(" "))} -- "$current")`;
  if (completes === "directory") return `$(compgen -d -- "$current")`;
  return "";
}

/** The completions after a command: the kind of its arguments, or their choices. */
function argumentWords(spec: CommandSpec): string {
  const argument = (spec.arguments ?? []).find(({ completes, choices }) => completes !== undefined || choices !== undefined);
  return argument?.choices?.join(" ") ?? argument?.completes ?? "";
}

// ---- fish ----

function fishScript(root: CommandSpec): string {
  const lines: string[] = [];
  for (const { path, spec } of leaves(root)) {
    const here = fishCondition(path, spec);
    for (const child of spec.commands ?? [])
      lines.push(`complete -c ${root.name} -f -n ${here} -a ${child.name} -d ${quote(child.summary)}`);
    for (const option of spec.options ?? []) lines.push(fishOption(root.name, option, here));
    for (const argument of spec.arguments ?? []) lines.push(...fishArgument(root.name, argument, here));
  }
  for (const option of globalOptions) lines.push(fishOption(root.name, option, undefined));
  return `# fish completion for ${root.name}: ${root.name} completion fish > ~/.config/fish/completions/${root.name}.fish
function __${root.name}_runs
  ${root.name} jobs list --json 2>/dev/null | string match -ra '"id":"[^"]*"' | string replace -r '"id":"(.*)"' '$1'
end
${lines.join("\n")}`;
}

function fishCondition(path: readonly string[], spec: CommandSpec): string {
  if (path.length === 0) return "__fish_use_subcommand";
  const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
  const below = (spec.commands ?? []).map(({ name }) => name).join(" ");
  return quote(below === "" ? seen : `${seen}; and not __fish_seen_subcommand_from ${below}`);
}

function fishOption(program: string, option: OptionSpec, here: string | undefined): string {
  const [short] = namesOf(option).filter((name) => !name.startsWith("--"));
  const [long] = namesOf(option).filter((name) => name.startsWith("--"));
  const values = !takesValue(option)
    ? ""
    : option.choices !== undefined
      ? ` -x -a ${quote(option.choices.join(" "))}`
      : option.completes === "directory"
        ? " -r -a '(__fish_complete_directories)'"
        : " -x";
  const names = `${short === undefined ? "" : ` -s ${short.slice(1)}`}${long === undefined ? "" : ` -l ${long.slice(2)}`}`;
  return `complete -c ${program}${here === undefined ? "" : ` -n ${here}`}${names}${values} -d ${quote(option.description)}`;
}

function fishArgument(program: string, { choices, completes }: ArgumentSpec, here: string): string[] {
  if (choices !== undefined) return [`complete -c ${program} -f -n ${here} -a ${quote(choices.join(" "))}`];
  if (completes === "run") return [`complete -c ${program} -n ${here} -a '(__${program}_runs)'`];
  if (completes === "directory") return [`complete -c ${program} -f -n ${here} -a '(__fish_complete_directories)'`];
  if (completes === "job") return [`complete -c ${program} -n ${here} -a '(__fish_complete_suffix .yaml)'`];
  return [];
}

// ---- both ----

function leaves(spec: CommandSpec, path: readonly string[] = []): Leaf[] {
  return [{ path, spec }, ...(spec.commands ?? []).flatMap((child) => leaves(child, [...path, child.name]))];
}

/** `-o, --output <dir>` → `["-o", "--output"]` */
function namesOf({ flags }: OptionSpec): string[] {
  return flags
    .split(", ")
    .map((flag) => ensure(flag.split(" ")[0], "name of an option"))
    .filter((name) => name.startsWith("-"));
}

const optionWords = (options: readonly OptionSpec[]): string[] => options.flatMap(namesOf);
const takesValue = ({ flags }: OptionSpec): boolean => flags.includes("<");
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
