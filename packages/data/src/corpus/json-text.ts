/** Where the text of a JSON object is: its field, or why there is none. */
export type FoundText =
  | { readonly text: string }
  /** The field is null: the object has no text, as public data sets write it. */
  | { readonly absent: true }
  | { readonly problem: string; readonly remedy: string };

/** Fields that hold the text in public data sets, the likeliest first. */
const usualFields = [
  "text",
  "content",
  "body",
  "completion",
  "code",
  "raw_content",
  "page_content",
  "document",
  "article",
  "story",
  "output",
];

/**
 * The text of an object. A dot in `textField` leads into an inner object (`meta.text`) unless the object has a field of the whole name.
 */
export function findText(value: object, textField: string): FoundText {
  const found = fieldOf(value, textField);
  if (typeof found === "string") return { text: found };
  if (found === null) return { absent: true };
  if (isConversation(found)) return conversation(textField);
  if (found !== undefined)
    return { problem: `has no text in its field \`${textField}\` but ${describe(found)}`, remedy: proposal(value, textField) };
  const chat = Object.entries(value).find(([, each]) => isConversation(each));
  if (chat !== undefined) return conversation(chat[0]);
  const keys = Object.keys(value);
  const names = keys.slice(0, 20).map((key) => `\`${key}\``);
  const only = names.length === 0 ? "none" : names.join(", ") + (keys.length > 20 ? " and others" : "");
  return { problem: `has no field \`${textField}\`, only ${only}`, remedy: proposal(value, textField) };
}

/** Own fields only: `toString` is a field of no object. */
function fieldOf(value: object, path: string): unknown {
  const own = Object.getOwnPropertyDescriptor(value, path);
  if (own !== undefined || !path.includes(".")) return own?.value;
  let inner: unknown = value;
  for (const key of path.split(".")) {
    if (typeof inner !== "object" || inner === null) return undefined;
    inner = Object.getOwnPropertyDescriptor(inner, key)?.value;
  }
  return inner;
}

/** A list of messages, each with its role and what it says. */
function isConversation(value: unknown): boolean {
  const first: unknown = Array.isArray(value) ? value[0] : undefined;
  if (typeof first !== "object" || first === null) return false;
  return ("role" in first && "content" in first) || ("from" in first && "value" in first);
}

function conversation(field: string): FoundText {
  return {
    problem: `holds a conversation in \`${field}\` (a list of messages), for which there is no form yet`,
    remedy: `write each conversation as one text in a field, and name the field with \`data.text_field\``,
  };
}

function proposal(value: object, textField: string): string {
  const form = `every line must be a JSON object with a string in the field that \`data.text_field\` names, as in {${JSON.stringify(textField)}: "…"}`;
  const field = likeliestField(value, textField);
  return field === undefined ? form : `${form}; its text seems to be in \`${field}\`: set \`data.text_field=${field}\``;
}

/** The field that a text is usually in, else the one with the longest string of several words. */
function likeliestField(value: object, except: string): string | undefined {
  const strings = stringFields(value, "", 2).filter(({ name }) => name !== except);
  const usual = usualFields.flatMap((field) => strings.filter(({ name }) => name === field || name.endsWith(`.${field}`)));
  const longest = strings.filter(({ text }) => text.includes(" ")).toSorted((a, b) => b.text.length - a.text.length);
  return (usual[0] ?? longest[0])?.name;
}

function stringFields(value: object, prefix: string, depth: number): { name: string; text: string }[] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]) => {
    if (typeof inner === "string") return [{ name: `${prefix}${key}`, text: inner }];
    const isObject = typeof inner === "object" && inner !== null && !Array.isArray(inner);
    return isObject && depth > 1 ? stringFields(inner, `${prefix}${key}.`, depth - 1) : [];
  });
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
