import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { standalonePage } from "@lapidary/api/standalone-page";
import type { DatasetCard } from "@lapidary/data-pipeline";
import { replaceFile } from "@lapidary/std";

/**
 * Writes `card.html` to the directory of a dataset: the page of the dashboard with the card, in one file.
 *
 * @param root of the project, which has the page
 * @returns its path; undefined if the page of the dashboard is not built
 */
export function writeCardPage(root: string, out: string, card: DatasetCard): string | undefined {
  const page = join(root, "packages/dashboard/page/dist");
  if (!existsSync(join(page, "index.html"))) return undefined;
  const path = join(out, "card.html");
  replaceFile(
    path,
    standalonePage((name) => readFileSync(join(page, name)), { card }),
  );
  return path;
}
