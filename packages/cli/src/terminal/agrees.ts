import { createInterface } from "node:readline/promises";

/** Asks a person at the terminal, on stderr. Any answer but yes means no. */
export async function agrees(question: string, signal: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} (yes/no) `, { signal })).trim());
  } finally {
    lines.close();
  }
}
