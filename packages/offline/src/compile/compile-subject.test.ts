import { deepStrictEqual } from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { CompileSubject } from "@lapidary/tpu-compiler";
import { compileJob, machineOf } from "@lapidary/trainer/recipes";
import { readJobFile } from "../job/job-file.js";
import { compileSubject, stepSubject } from "./compile-subject.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));

describe("a step for the TPU compiler", () => {
  it("the plan of a job and that of a step file have plain attention, whatever the job says", () => {
    const { job } = readJobFile({ root, cwd: root, home: root }, "e2e/cases/common/tiny.yaml", ["attention=flash"]);
    const program = compileJob(job, { verify: false });
    const ofJob = compileSubject(job, program, root, ["v5e"]);
    const machine = machineOf(job, root, "v5e");
    const ofStep = stepSubject({ name: job.name, program, options: { mesh: {}, shardings: new Map(), numerics: job.numerics } }, machine);
    const plan = ({ simulations, ...subject }: CompileSubject): object => ({
      ...subject,
      plans: [...simulations].map(([chip, { attention, memory }]) => ({ chip, attention, peak: memory.peakBytes })),
    });
    deepStrictEqual(plan(ofStep), plan(ofJob));
    deepStrictEqual(
      [...ofJob.simulations.values()].map(({ attention }) => attention),
      ["plain"],
    );
  });
});
