import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AblationReport } from "@lapidary/api/ablation-report";
import { standalonePage } from "@lapidary/api/standalone-page";
import type { DatasetCard } from "@lapidary/data-pipeline";
import { LapidaryError, replaceFile } from "@lapidary/std";

/**
 * Writes `card.html` to the directory of a dataset: the page of the dashboard with the card, in one file.
 *
 * @param root of the project, which has the page
 * @returns its path; undefined if the page of the dashboard is not built
 */
export function writeCardPage(root: string, out: string, card: DatasetCard): string | undefined {
  const path = join(out, "card.html");
  return writePage(root, path, { card }) ? path : undefined;
}

/** Writes the report of an ablation as a page in one file. @throws LapidaryError LAP_PAGE_NOT_BUILT */
export function writeAblationPage(root: string, path: string, ablation: AblationReport): void {
  if (writePage(root, path, { ablation })) return;
  throw new LapidaryError({
    code: "LAP_PAGE_NOT_BUILT",
    message: "the dashboard has not been built",
    location: pageOf(root),
  });
}

const pageOf = (root: string): string => join(root, "packages/dashboard/page/dist");

/** @returns false if the page of the dashboard is not built */
function writePage(root: string, path: string, recorded: unknown): boolean {
  const page = pageOf(root);
  if (!existsSync(join(page, "index.html"))) return false;
  replaceFile(
    path,
    standalonePage((name) => readFileSync(join(page, name)), recorded),
  );
  return true;
}
