import { redactSecrets } from "../../../tools/setup/redact.mjs";

/** Text without secrets. The code is in the set-up, which needs it before the build. */
export { redactSecrets };

/** A JSON value without the secrets in its text. The names of fields do not change. */
export function redactStrings<T>(value: T): T {
  if (typeof value === "string") return redactSecrets(value) as T;
  if (Array.isArray(value)) return value.map((each: unknown) => redactStrings(each)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, redactStrings<unknown>(each)])) as T;
}
