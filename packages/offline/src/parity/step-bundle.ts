import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ImportedStep } from "@lapidary/stablehlo";
import { LapidaryError } from "@lapidary/std";
import { z } from "zod";

const deviation = z.number().nonnegative();

/** What `manifest.json` of an exported step says. Arguments and results are in the order of the text. */
const manifestSchema = z.object({
  steps: z.number().int().min(1),
  mesh: z.array(z.tuple([z.string(), z.number().int().min(1)])).nullish(),
  arguments: z.array(z.object({ begins: z.string() })),
  results: z.array(z.object({ name: z.string(), next: z.number().int().nullish(), noise: deviation, sensitivity: deviation })),
});
export type StepManifest = z.infer<typeof manifestSchema>;

/** Texts of a step in a bundle. The one with locations is read first. */
const texts = ["step.loc.mlir", "step.mlir"] as const;

/** Whether a directory holds a step that JAX exported, with the results of JAX. */
export const isStepBundle = (directory: string): boolean => texts.some((name) => existsSync(join(directory, name)));

/** The text of the step and what its manifest says. @throws LAP_PARITY_BUNDLE */
export function readStepBundle(directory: string): { readonly text: string; readonly file: string; readonly manifest: StepManifest } {
  const file = join(directory, texts.find((name) => existsSync(join(directory, name))) ?? "step.mlir");
  const path = join(directory, "manifest.json");
  try {
    return { text: readFileSync(file, "utf8"), file, manifest: manifestSchema.parse(JSON.parse(readFileSync(path, "utf8"))) };
  } catch (cause) {
    throw new LapidaryError({
      code: "LAP_PARITY_BUNDLE",
      message: `the manifest cannot be read: ${cause instanceof z.ZodError ? z.prettifyError(cause).split("\n").slice(0, 2).join(" ") : cause instanceof Error ? cause.message : String(cause)}`,
      location: path,
      cause,
    });
  }
}

/** @throws LAP_PARITY_BUNDLE if text and manifest do not have the same arguments and results */
export function checkSameStep(directory: string, step: ImportedStep, manifest: StepManifest): void {
  const counts = (of: { readonly arguments: readonly unknown[]; readonly results: readonly unknown[] }): string =>
    `${of.arguments.length} arguments and ${of.results.length} results`;
  const wrong = manifest.results.find(({ next }) => next !== undefined && next !== null && next >= step.arguments.length);
  if (counts(step) === counts(manifest) && wrong === undefined) return;
  throw new LapidaryError({
    code: "LAP_PARITY_BUNDLE",
    message:
      wrong === undefined
        ? `the text has ${counts(step)}, and the manifest ${counts(manifest)}`
        : `${wrong.name} renews an argument that the text does not have`,
    location: join(directory, "manifest.json"),
  });
}
