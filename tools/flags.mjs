/** Parses and checks the flags of a command of tools/, and prints `--help`. */
import { parseArgs } from "node:util";

/**
 * @typedef {object} Flag
 * @property {"string" | "boolean" | "count" | "number"} type `count`: a whole number from 1 on
 * @property {string | boolean} [default]
 * @property {readonly string[]} [among] what else than these is refused
 */

/**
 * Reads the arguments of this process. If they are wrong, prints the problem with a remedy and exits with 2, as `lapidary` does. After `--help`, exits with 0.
 *
 * @template {Record<string, Flag>} F
 * @param {string} usage how the command is called, line by line
 * @param {F} flags
 * @param {{ positionals?: number }} [options] maximum number of arguments that are not flags
 * @returns {{ values: { [K in keyof F]: F[K]["type"] extends "boolean" ? boolean : F[K] extends { default: string } ? string : string | undefined }, positionals: string[] }}
 */
export function readFlags(usage, flags, { positionals: most = 0 } = {}) {
  try {
    const options = Object.fromEntries(
      Object.entries(flags).map(([name, flag]) => [
        name,
        {
          type: flag.type === "boolean" ? /** @type {const} */ ("boolean") : /** @type {const} */ ("string"),
          ...(flag.default === undefined ? {} : { default: flag.default }),
        },
      ]),
    );
    const { values, positionals } = parseArgs({
      options: { ...options, help: { type: "boolean", default: false } },
      allowPositionals: most > 0,
      allowNegative: true,
    });
    if (values.help === true) {
      process.stdout.write(`${usage}\n`);
      process.exit(0);
    }
    if (positionals.length > most) throw new Error(`there is an argument too many: ${positionals[most]}`);
    for (const [name, flag] of Object.entries(flags)) check(name, flag, /** @type {Record<string, unknown>} */ (values)[name]);
    return /** @type {any} */ ({ values, positionals });
  } catch (error) {
    process.stderr.write(`error LAP_TOOL_USAGE: ${error instanceof Error ? error.message.split(". ")[0] : String(error)}\n`);
    process.stderr.write(`    place:  ${process.argv.slice(2).join(" ")}\n    remedy: ${usage.replaceAll("\n", "\n            ")}\n`);
    process.exit(2);
  }
}

/** @param {string} name @param {Flag} flag @param {unknown} value */
function check(name, { type, among }, value) {
  if (typeof value !== "string") return;
  const number = Number(value);
  if (type === "count" && !(Number.isSafeInteger(number) && number >= 1))
    throw new Error(`--${name} takes a whole number from 1 on, not ${value}`);
  if (type === "number" && (value.trim() === "" || !Number.isFinite(number) || number < 0))
    throw new Error(`--${name} takes a number, not ${value}`);
  if (among !== undefined && !among.includes(value)) throw new Error(`--${name} takes ${among.join(", ")}, not ${value}`);
}
