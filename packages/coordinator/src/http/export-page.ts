import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { jsonText } from "@lapidary/std";
import type { PageFiles } from "./page-files.js";
import type { RecordedStep, Snapshot } from "@lapidary/api/view-api";
import { programFile } from "@lapidary/telemetry";
import { stepTraceAt } from "@lapidary/api/step-traces";
import { readWorkerSteps } from "@lapidary/api/worker-steps";
import { encodeWorkerSteps } from "@lapidary/api/frames";

/** The data that an exported page contains, because it has no server. */
interface Recorded {
  readonly snapshot: Snapshot;
  readonly program: unknown;
  /** One frame, in base64. */
  readonly worker_steps: string;
  /** The newest step that was recorded call by call. */
  readonly step_trace: RecordedStep;
}

const workerStepPoints = 2000;

/**
 * The page of one run as a single file that needs no server and no network: its script, style and fonts, and the recorded data.
 * Its content security policy lets no other code run.
 */
export function exportPage(page: PageFiles, snapshot: Snapshot, directory: string): string {
  const { workers, steps } = readWorkerSteps(directory, 0, Number.MAX_SAFE_INTEGER, workerStepPoints);
  const { trace } = stepTraceAt(directory);
  const recorded: Recorded = {
    snapshot,
    program: existsSync(programFile(directory)) ? JSON.parse(readFileSync(programFile(directory), "utf8")) : null,
    worker_steps: Buffer.from(encodeWorkerSteps(workers, steps)).toString("base64"),
    step_trace: { steps: trace === null ? [] : [trace.step], trace },
  };
  const index = page.read("index.html").toString("utf8");
  const script = page
    .read(nameIn(index, /src="\.\/(assets\/[^"]+\.js)"/))
    .toString("utf8")
    .replaceAll("</script", "<\\/script");
  const style = page
    .read(nameIn(index, /href="\.\/(assets\/[^"]+\.css)"/))
    .toString("utf8")
    .replaceAll(
      /url\((?:\.\/)?([^)/]+\.woff2)\)/g,
      (_, name: string) => `url(data:font/woff2;base64,${page.read(`assets/${name}`).toString("base64")})`,
    );
  const policy = `default-src 'none'; script-src 'sha256-${createHash("sha256").update(script).digest("base64")}'; style-src 'unsafe-inline'; font-src data:; img-src data:; base-uri 'none'; form-action 'none'`;
  const head = `<meta http-equiv="Content-Security-Policy" content="${policy}">\n<style>${style}</style>`;
  // Escaped, so that the text cannot end the element.
  const data = jsonText(recorded).replaceAll("<", "\\u003c");
  return index
    .replace(/<script type="module"[^>]*><\/script>/, "")
    .replace(/<link rel="stylesheet"[^>]*>/, () => head)
    .replace(
      "</body>",
      () => `<script type="application/json" id="recorded">${data}</script>\n<script type="module">${script}</script>\n</body>`,
    );
}

function nameIn(index: string, pattern: RegExp): string {
  const name = pattern.exec(index)?.[1];
  if (name === undefined) throw new Error(`the page's index has nothing like ${pattern}`);
  return name;
}
