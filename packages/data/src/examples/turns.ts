import { badRole, badRowUtf8, badRowValue, emptyText, missingAnswer } from "./example-errors.js";
import type { Part, Turn } from "./example.js";
import { roleProblem, trim } from "./template.js";

/** Reads texts and dialogues of a parsed row. Every function throws a LapidaryError `LAP_EXAMPLE_…` that names the key. */

export const describeValue = (value: unknown): string =>
  value === undefined
    ? "absent"
    : value === null
      ? "null"
      : Array.isArray(value)
        ? "a list"
        : typeof value === "object"
          ? "an object"
          : `a ${typeof value}`;

export const asObject = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : undefined;

/** A text that has a character besides white space, and that UTF-8 can represent. */
export function readText(value: unknown, key: string): string {
  if (typeof value !== "string") throw badRowValue(key, describeValue(value), "a text");
  if (/\p{Surrogate}/u.test(value)) throw badRowUtf8(`\`${key}\` contains half of a surrogate pair, which UTF-8 cannot represent`);
  if (trim(value) === "") throw emptyText(key);
  return value;
}

/** A text that may be absent or empty. */
export function readOptionalText(value: unknown, key: string): string | undefined {
  if (value === undefined || value === null || (typeof value === "string" && trim(value) === "")) return undefined;
  return readText(value, key);
}

export function readPart(value: unknown, key: string): Part {
  if (typeof value === "string") return readText(value, key);
  if (Array.isArray(value)) return readMessages(value, key);
  throw badRowValue(key, describeValue(value), "a text or a list of messages");
}

const messageRoles: Readonly<Record<string, Turn["role"]>> = { system: "system", user: "user", assistant: "model", model: "model" };
const shareGptRoles: Readonly<Record<string, Turn["role"]>> = { ...messageRoles, human: "user", gpt: "model" };

/** Messages with `role` and `content`. */
export const readMessages = (value: unknown, key: string): readonly Turn[] => readTurns(value, key, ["role", "content"], messageRoles);

/**
 * The turns of messages as the chat template accepts them. Unlike in a file of examples, a text may be empty.
 *
 * @throws LapidaryError `LAP_EXAMPLE_ROLE`
 */
export function templateTurns(messages: readonly { readonly role: string; readonly content: string }[]): readonly Turn[] {
  const turns = messages.map(({ role, content }, at) => ({ role: roleNamed(role, at, "messages", messageRoles), content }));
  checkRoles(turns);
  return turns;
}

/** Turns with `from` and `value`, as ShareGPT writes them. */
export const readConversation = (value: unknown, key: string): readonly Turn[] => readTurns(value, key, ["from", "value"], shareGptRoles);

function readTurns(
  value: unknown,
  key: string,
  [roleKey, textKey]: readonly [string, string],
  roles: Readonly<Record<string, Turn["role"]>>,
): readonly Turn[] {
  if (!Array.isArray(value)) throw badRowValue(key, describeValue(value), "a list of turns");
  if (value.length === 0) throw emptyText(key);
  return value.map((item: unknown, at): Turn => {
    const turn = asObject(item);
    if (turn === undefined) throw badRowValue(`${key}[${at}]`, describeValue(item), `an object with ${roleKey} and ${textKey}`);
    const name = turn[roleKey];
    if (typeof name !== "string")
      throw badRowValue(`${key}[${at}].${roleKey}`, describeValue(name), `one of ${Object.keys(roles).join(", ")}`);
    const role = roleNamed(name, at, key, roles);
    checkTurnKeys(turn, `${key}[${at}]`, [roleKey, textKey]);
    return { role, content: readText(turn[textKey], `${key}[${at}].${textKey}`) };
  });
}

function roleNamed(name: string, at: number, key: string, roles: Readonly<Record<string, Turn["role"]>>): Turn["role"] {
  const role = Object.hasOwn(roles, name) ? roles[name] : undefined;
  if (role !== undefined) return role;
  const known = Object.keys(roles).join(", ");
  throw badRole(`turn ${at + 1} of \`${key}\` has the unknown role ${JSON.stringify(name)}; known are ${known}`);
}

/** A further key such as `weight` or `tool_calls` would change what is trained, so it cannot be ignored. */
function checkTurnKeys(turn: Readonly<Record<string, unknown>>, key: string, known: readonly string[]): void {
  const further = Object.keys(turn).find((each) => !known.includes(each) && turn[each] !== null);
  if (further !== undefined) throw badRowValue(`${key}.${further}`, describeValue(turn[further]), "no further key in a turn");
}

/** Checks that a dialogue begins with the user, alternates, and ends with an answer. */
export function checkAnswered(turns: readonly Turn[], key: string): void {
  checkRoles(turns);
  if (turns.at(-1)?.role !== "model") throw missingAnswer(key);
}

/** Checks that a dialogue begins with the user, alternates, and ends with the user. */
export function checkPrompt(turns: readonly Turn[], key: string): void {
  checkRoles(turns);
  if (turns.at(-1)?.role !== "user") throw badRole(`\`${key}\` ends with the role ${turns.at(-1)?.role}, expected user`);
}

function checkRoles(turns: readonly Turn[]): void {
  const problem = roleProblem(turns);
  if (problem !== undefined) throw badRole(problem);
}
