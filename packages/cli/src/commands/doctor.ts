import { checkSetup, type SetupCheck } from "@lapidary/offline/setup-checks";
import { ExitCode, textTable } from "@lapidary/std";
import type { Context } from "../context.js";
import type { Paint } from "@lapidary/report/paint";

/** Checks everything that the set-up provides; exit code 1 if something is missing. */
export async function doctor({ console, root, env }: Context): Promise<ExitCode> {
  const progress = console.progress();
  progress.update("check the set-up");
  const checks = await checkSetup(root, env);
  progress.end();
  const ok = checks.every((check) => check.ok);
  console.result({ ok, checks: checks.map(({ name, ok, detail, remedy }) => ({ name, ok, detail, remedy: ok ? "" : remedy })) }, () =>
    table(checks, console.paint),
  );
  console.text(ok ? "\nAll checks passed." : "");
  return ok ? ExitCode.done : ExitCode.other;
}

function table(checks: readonly SetupCheck[], paint: Paint): string {
  const lines = textTable(
    [{ title: "check" }, { title: "" }, { title: "found" }],
    checks.map(({ name, ok, detail }) => [name, ok ? "ok" : "FAILED", detail]),
  ).split("\n");
  return lines
    .flatMap((line, i) => {
      const check = checks[i - 1];
      if (check === undefined) return [paint.dim(line)];
      if (check.ok) return [line.replace(" ok ", ` ${paint.green("ok")} `)];
      return [line.replace("FAILED", paint.red("FAILED")), `    ${paint.bold("remedy:")} ${check.remedy}`];
    })
    .join("\n");
}
