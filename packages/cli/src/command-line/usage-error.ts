import type { Command, CommanderError } from "commander";
import { LapidaryError, suggest } from "@lapidary/std";
import { globalOptions } from "./global-options.js";
import type { CommandSpec } from "./spec.js";

/** An error of commander, with a suggestion. */
export function usageError(error: CommanderError, command: Command, spec: CommandSpec): LapidaryError {
  const place = pathOf(command);
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  const help = `\`${place} --help\` lists`;
  switch (error.code) {
    case "commander.unknownCommand":
      return unknownCommand(quoted, place, spec);
    case "commander.help":
      return make("LAP_CLI_COMMAND", "a command is missing", place, `choose one of ${namesOf(spec).join(", ")}`);
    case "commander.unknownOption":
      return make(
        "LAP_CLI_OPTION",
        `there is no option ${quoted}`,
        place,
        nearest(quoted.replace(/=.*/, ""), optionsOf(command)) ?? `${help} the options`,
      );
    case "commander.optionMissingArgument":
      return make("LAP_CLI_OPTION", `the option ${quoted} needs a value`, place, `${help} the options and their values`);
    case "commander.missingMandatoryOptionValue":
      return make(
        "LAP_CLI_OPTION",
        `the option ${quoted} is missing`,
        place,
        `give it, as in \`${place} … ${quoted.replace(/^.*, /, "")}\``,
      );
    case "commander.missingArgument":
      return make("LAP_CLI_ARGUMENT", `the argument ${quoted} is missing`, place, `write \`${usageOf(command, place)}\``);
    case "commander.excessArguments":
      return excess(command, spec, place);
    default:
      return make("LAP_CLI_ARGUMENT", sentence(error.message), place, `${help} the accepted values`);
  }
}

/** @param place the command that should have the subcommand: `lapidary jobs` */
export function unknownCommand(word: string, place: string, spec: CommandSpec): LapidaryError {
  const names = namesOf(spec);
  if (names.length === 0) return make("LAP_CLI_COMMAND", `\`${place}\` has no subcommands`, place, `leave "${word}" out`);
  return make("LAP_CLI_COMMAND", `there is no command "${word}"`, place, nearest(word, names) ?? `\`${place} --help\` lists the commands`);
}

/** `lapidary ckpt verify` */
export function pathOf(command: Command): string {
  const { parent } = command;
  return parent === null ? command.name() : `${pathOf(parent)} ${command.name()}`;
}

type UsageCode = "LAP_CLI_COMMAND" | "LAP_CLI_OPTION" | "LAP_CLI_ARGUMENT";

function make(code: UsageCode, message: string, location: string, remedy: string): LapidaryError {
  return new LapidaryError({ code, message, location, remedy });
}

/** `lapidary jobs lst` calls the default `jobs list` with an extra argument. The user meant a subcommand. */
function excess(command: Command, spec: CommandSpec, place: string): LapidaryError {
  const expected = (spec.arguments ?? []).length;
  const first = command.args[expected] ?? "";
  const { parent } = command;
  if (spec.isDefault === true && parent !== null) {
    const siblings = parent.commands.map((sibling) => sibling.name());
    if (!siblings.includes(first))
      return make(
        "LAP_CLI_COMMAND",
        `there is no command "${first}"`,
        pathOf(parent),
        nearest(first, siblings) ?? `choose one of ${siblings.join(", ")}`,
      );
  }
  return make("LAP_CLI_ARGUMENT", `"${first}" is one argument too many`, place, `write \`${usageOf(command, place)}\``);
}

const nearest = (word: string, candidates: Iterable<string>): string | undefined => {
  const near = suggest(word, candidates);
  return near === undefined ? undefined : `did you mean "${near}"?`;
};

const namesOf = (spec: CommandSpec): string[] => (spec.commands ?? []).map(({ name }) => name);

function optionsOf(command: Command): string[] {
  const own = command.options.map((option) => option.long ?? option.flags);
  const shared = globalOptions.map(({ flags }) => /--[a-z-]+/.exec(flags)?.[0] ?? flags);
  return [...own, ...shared, "--help", "--version"];
}

const usageOf = (command: Command, place: string): string => `${place} ${command.usage()}`.trim();

/** "error: command-argument value 'x' is invalid for argument 'shell'. Allowed choices are …" without its heading. */
const sentence = (message: string): string => message.replace(/^error: /, "").replace(/\.$/, "");
