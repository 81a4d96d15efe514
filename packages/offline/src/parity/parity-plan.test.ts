import { deepStrictEqual, equal, throws } from "node:assert/strict";
import fc from "fast-check";
import { chipCount, makeMesh, meshSize, printMesh, printTorus } from "@lapidary/topology";
import { ExitCode } from "@lapidary/std";
import { checkChunks, checkMicrobatches, type ParityOptions, planParity, torusFor } from "./parity-plan.js";

const asked = (options: Partial<ParityOptions>): ParityOptions => ({
  directory: "x",
  mesh: undefined,
  torus: undefined,
  zero: undefined,
  numerics: undefined,
  workers: undefined,
  executor: undefined,
  lossChunks: undefined,
  microbatches: undefined,
  strategy: undefined,
  overrides: [],
  part: undefined,
  ...options,
});

describe("parity options", () => {
  it("the defaults are one chip, f32, no sharding and the whole loss", () => {
    const { mesh, torus, ...rest } = planParity(asked({}), 2);
    deepStrictEqual(
      [printMesh(mesh), printTorus(torus), rest],
      ["data=1", "1x1", { zero: 0, numerics: "f32", executor: "stacked", chunks: undefined, microbatches: 1, workers: 1 }],
    );
  });

  it("the number of microbatches divides the rows of a batch", () => {
    checkMicrobatches(planParity(asked({ microbatches: 4 }), 1), 16);
    throws(() => checkMicrobatches(planParity(asked({ microbatches: 3 }), 1), 16), {
      code: "LAP_PARITY_OPTION",
      location: "--microbatches",
      remedy: "use 1, 2, 4, 8, 16",
    });
    throws(() => checkMicrobatches(planParity(asked({ microbatches: 0 }), 1), 16), { code: "LAP_PARITY_OPTION" });
  });

  it("a row has at most as many pieces of the loss as tokens", () => {
    const plan = planParity(asked({ lossChunks: 3 }), 1);
    deepStrictEqual(plan.chunks, { count: 3, seqParts: 1 });
    checkChunks(plan, 3);
    throws(() => checkChunks(plan, 2), { code: "LAP_PARITY_OPTION", location: "--loss-chunks" });
  });

  it("the default torus has the chips of the mesh and is as square as possible", () => {
    deepStrictEqual(
      [256, 8, 4, 12, 7, 1].map((size) => printTorus(torusFor(makeMesh({ data: size })))),
      ["16x16", "2x4", "2x2", "3x4", "1x7", "1x1"],
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 64 }), (data, model) =>
        equal(chipCount(torusFor(makeMesh({ data, model }))), meshSize(makeMesh({ data, model }))),
      ),
    );
  });

  it("the number of workers divides the mesh, and the chipwise executor has one worker", () => {
    const workers = (mesh: string, count: number, executor?: string): number =>
      planParity(asked({ mesh, workers: count, executor }), 2).workers;
    deepStrictEqual(
      [
        workers("data=16,model=16", 4),
        workers("data=16,model=16", 3),
        workers("data=1", 4),
        workers("model=4", 2),
        workers("data=3", 2),
        workers("data=4", 4, "chipwise"),
      ],
      [4, 2, 1, 2, 1, 1],
    );
  });

  it("a mesh that does not fill its torus is refused with exit code 4", () => {
    throws(() => planParity(asked({ mesh: "data=2,model=2", torus: "2x4" }), 1), {
      code: "LAP_MESH_DOES_NOT_FILL",
      location: "--mesh",
      exit: ExitCode.doesNotFit,
    });
    throws(() => planParity(asked({ mesh: "data=2,modle" }), 1), { code: "LAP_MESH_TEXT", exit: ExitCode.usage });
    throws(() => planParity(asked({ mesh: "data=2,fsdp=2" }), 1), {
      code: "LAP_MESH_AXIS_UNKNOWN",
      exit: ExitCode.usage,
      remedy: /"data"/,
    });
    throws(() => planParity(asked({ torus: "4 by 4" }), 1), { code: "LAP_TOPOLOGY_TORUS", exit: ExitCode.usage });
    throws(() => planParity(asked({ mesh: "a=1,b=1,c=1,d=1,e=1" }), 1), { code: "LAP_MESH_AXES", exit: ExitCode.usage });
  });
});
