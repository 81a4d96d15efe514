import { redactSecrets } from "../../../tools/setup/redact.mjs";

/** Text without secrets. The set-up needs it before anything is compiled, so its code is there. */
export { redactSecrets };

/** A value of JSON with all its text without secrets; the names of fields stay. */
export function redactStrings<T>(value: T): T {
  if (typeof value === "string") return redactSecrets(value) as T;
  if (Array.isArray(value)) return value.map((each: unknown) => redactStrings(each)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, redactStrings<unknown>(each)])) as T;
}
