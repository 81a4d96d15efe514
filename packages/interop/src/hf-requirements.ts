export type Json = Readonly<Record<string, unknown>>;

/** The required value of a key. Absent and null always mean that the requirement holds. */
export interface Requirement {
  readonly holds: (value: unknown, config: Json) => boolean;
  /** The property of the family; completes the sentence "Gemma 1 has …". */
  readonly has: string;
}

export const only = (has: string, ...values: readonly unknown[]): Requirement => ({ holds: (value) => values.includes(value), has });

export const none = (what: string): Requirement => only(`no ${what}`, false, 0);

export const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

export const formatValue = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
};
