import { Argument, Command, Option } from "commander";
import { suggest } from "@lapidary/std";
import { type GlobalOptions, globalOptions } from "./global-options.js";
import { type ArgumentSpec, type CommandSpec, ParsedArgs, type OptionSpec, argumentError, numberFormats } from "./spec.js";
import { pathOf, unknownCommand, usageError } from "./usage-error.js";

/** The request of a command line. */
export type Call =
  | { readonly kind: "run"; readonly command: string; readonly run: Run; readonly args: ParsedArgs; readonly globals: GlobalOptions }
  | { readonly kind: "print"; readonly text: string; readonly globals: GlobalOptions };

/**
 * Parses a command line by the tree of commands. Help and version return text. A mistake throws an error with a suggestion.
 *
 * @param argv without node and script
 * @throws LAP_CLI_COMMAND, LAP_CLI_OPTION, LAP_CLI_ARGUMENT
 */
export function parseCommandLine(root: CommandSpec, version: string, argv: readonly string[], style: HelpStyle): Call {
  const calls: Call[] = [];
  let explained: readonly string[] | undefined;
  let printed = "";
  const print = (text: string): void => {
    printed += text;
  };
  const onCall: OnCall = (command, spec, args) => {
    if (spec.explains === true) explained = args.list("command");
    if (spec.run !== undefined) calls.push({ kind: "run", command: pathOf(command), run: spec.run, args, globals: globalsOf(program) });
  };
  const program = build(named(root, argv), style, print, onCall);
  program.version(version, "-V, --version", "print the version");
  for (const option of globalOptions) program.addOption(toOption(option));
  try {
    program.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof Displayed)) throw error;
  }
  if (explained !== undefined) return parseCommandLine(root, version, [...checkWords(root, explained), "--help"], style);
  return calls[0] ?? { kind: "print", text: printed, globals: globalsOf(program) };
}

/** The style of the help. */
export interface HelpStyle {
  readonly columns: number;
  readonly title: (text: string) => string;
}

/** Thrown after help or version was printed, because there is no command to run. */
class Displayed extends Error {}

type Run = NonNullable<CommandSpec["run"]>;
type OnCall = (command: Command, spec: CommandSpec, args: ParsedArgs) => void;

/** Words that lead to a command of the tree. */
function checkWords(root: CommandSpec, words: readonly string[]): readonly string[] {
  let [at, path] = [root, root.name];
  for (const word of words) {
    const next = at.commands?.find(({ name }) => name === word);
    if (next === undefined) throw unknownCommand(word, path, at);
    [at, path] = [next, `${path} ${word}`];
  }
  return words;
}

/** The tree with only the commands that `argv` names: the commands of others need not be built. The whole tree if it names none. */
function named(root: CommandSpec, argv: readonly string[]): CommandSpec {
  const commands = (root.commands ?? []).filter(({ name }) => argv.includes(name));
  return commands.length === 0 ? root : { ...root, commands };
}

function build(spec: CommandSpec, style: HelpStyle, print: (text: string) => void, onCall: OnCall): Command {
  const command = new Command(spec.name)
    .description(spec.summary)
    .configureHelp({ showGlobalOptions: true, helpWidth: Math.min(style.columns, 110), styleTitle: style.title })
    .configureOutput({
      writeOut: print,
      writeErr: print,
      outputError: () => undefined,
      getOutHasColors: () => true,
      getErrHasColors: () => true,
    })
    .helpOption("-h, --help", "print this help")
    .helpCommand(false)
    .exitOverride((error) => {
      const asked = error.exitCode === 0 || (error.code === "commander.help" && command.optsWithGlobals()["json"] !== true);
      throw asked ? new Displayed() : usageError(error, command, spec);
    });
  if (spec.group !== undefined) command.helpGroup(spec.group);
  for (const argument of spec.arguments ?? []) command.addArgument(toArgument(argument));
  for (const option of spec.options ?? []) command.addOption(toOption(option));
  for (const child of spec.commands ?? []) command.addCommand(build(child, style, print, onCall), { isDefault: child.isDefault === true });
  if (spec.examples !== undefined)
    command.addHelpText("after", `\n${style.title("Examples:")}\n${spec.examples.map((line) => `  ${line}`).join("\n")}`);
  if (spec.run !== undefined || spec.explains === true) command.action(() => onCall(command, spec, argsOf(command, spec)));
  return command;
}

function argsOf(command: Command, spec: CommandSpec): ParsedArgs {
  const values = new Map<string, unknown>(Object.entries(command.opts()));
  (spec.arguments ?? []).forEach((argument, i) => values.set(argument.name, command.processedArgs[i]));
  return new ParsedArgs(values);
}

function globalsOf(program: Command): GlobalOptions {
  const options: Readonly<Record<string, unknown>> = program.opts();
  const { home } = options;
  return {
    json: options["json"] === true,
    quiet: options["quiet"] === true,
    verbose: options["verbose"] === true,
    color: options["color"] !== false,
    home: typeof home === "string" ? home : undefined,
  };
}

function toArgument(spec: ArgumentSpec): Argument {
  const dots = spec.variadic === true ? "..." : "";
  const argument = new Argument(spec.optional === true ? `[${spec.name}${dots}]` : `<${spec.name}${dots}>`, spec.description);
  const { choices } = spec;
  return choices === undefined
    ? argument
    : argument.choices(choices).argParser((text: string) => readChoice(text, choices, `<${spec.name}>`));
}

function toOption(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.description);
  const { value, choices } = spec;
  if (spec.mandatory === true) option.makeOptionMandatory();
  if (choices !== undefined) option.choices(choices).argParser((text: string) => readChoice(text, choices, option.long ?? spec.flags));
  if (value !== undefined && value !== "text") option.argParser((text: string) => readNumber(text, value, option.long ?? spec.flags));
  if (spec.repeatable === true) option.argParser((text: string, before: readonly string[] = []) => [...before, text]);
  return option;
}

function readChoice(text: string, choices: readonly string[], place: string): string {
  if (choices.includes(text)) return text;
  const near = suggest(text, choices);
  throw argumentError(
    `"${text}" is not one of ${choices.join(", ")}`,
    place,
    near === undefined ? "choose one of these values" : `did you mean "${near}"?`,
  );
}

function readNumber(text: string, format: keyof typeof numberFormats, place: string): number {
  const { pattern, meaning, example } = numberFormats[format];
  if (!pattern.test(text)) throw argumentError(`"${text}" is not ${meaning}`, place, `write ${meaning}, such as ${place} ${example}`);
  return Number(text);
}
