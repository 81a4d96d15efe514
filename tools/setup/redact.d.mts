/** Types of the removal of secrets from text; `redact.mjs` is the code. */

/** The text without users and passwords of addresses; other secrets (tokens, settings of npm, fields of queries) become `***`. */
export function redactSecrets(text: string): string;
