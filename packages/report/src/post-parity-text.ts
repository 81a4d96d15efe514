import type { PostParityResult } from "@lapidary/offline/parity";
import { counted, textTable } from "@lapidary/std";
import type { Paint } from "./paint.js";

type Check = PostParityResult["checks"][number];

/** The text of `lapidary parity` for a bundle of post-training: one table for each part. */
export function postParityText({ ok, chips, workers, mesh, parts, checks }: PostParityResult, paint: Paint): string {
  const failed = checks.filter((check) => !check.ok).length;
  const summary = `${counted(checks.length, "check")} in ${counted(parts.length, "part")}`;
  return [
    `${counted(chips, "chip")}, mesh ${mesh}, emulated by ${counted(workers, "worker")}`,
    ...parts.flatMap((part) => [
      "",
      partText(
        part,
        checks.filter((check) => check.part === part),
        paint,
      ),
    ]),
    "",
    ok
      ? `${summary}: ${paint.green("in parity with TRL, PEFT and transformers")}`
      : `${summary}, ${failed} failed: ${paint.red("NOT in parity with TRL, PEFT and transformers")}`,
  ].join("\n");
}

function partText(part: string, checks: readonly Check[], paint: Paint): string {
  const rows = checks.filter(({ mistake }) => !mistake).map((check) => [...numbersOf(check), check.ok ? "ok" : "TOO FAR"]);
  const table = textTable(
    [{ title: part }, { title: "distance", align: "right" }, { title: "allowed", align: "right" }, { title: "" }],
    rows,
  );
  const painted = table.replaceAll("TOO FAR", paint.red("TOO FAR")).replace(/ ok$/gm, ` ${paint.green("ok")}`);
  return [painted, ...checks.filter(({ mistake }) => mistake).map((check) => mistakeText(check, paint))].join("\n");
}

const numbersOf = ({ value, deviation, tolerance }: Check): string[] => [value, numberText(deviation), numberText(tolerance)];

function mistakeText({ value, deviation, tolerance, undetectable, ok }: Check, paint: Paint): string {
  if (undetectable) return `${value}: not checked, because the reference gives the value of this mistake`;
  const text = `${value}: differs from the mistake by ${numberText(deviation)}, must exceed ${numberText(tolerance)}`;
  return `${text}  ${ok ? paint.green("ok") : paint.red("TOO NEAR")}`;
}

const numberText = (value: number): string => (value === 0 ? "0" : value.toExponential(2));
