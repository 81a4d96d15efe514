import { deepStrictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { fromTensor, toTensor } from "@lapidary/interop";
import { interpret } from "@lapidary/ir";
import type { GraphRunner } from "@lapidary/training";
import { readPostBundle } from "./bundle.js";
import { postParts, runPostParity } from "./run.js";

const golden = (name: string): string => fileURLToPath(new URL(`../../../../e2e/golden/post/${name}`, import.meta.url));

const interpreter: GraphRunner = {
  run: (_name, graph, inputs) =>
    Promise.resolve(
      new Map(
        [...interpret(graph, new Map([...inputs].map(([key, array]) => [key, toTensor(array)])))].map(([key, t]) => [key, fromTensor(t)]),
      ),
    ),
};

describe("parity of post-training", () => {
  for (const name of ["mqa"])
    for (const part of postParts)
      it(`the interpreter agrees with TRL and PEFT on ${part} of ${name}, and misses every known mistake`, async () => {
        const checks = await runPostParity(await readPostBundle(golden(name)), interpreter, { parts: [part] });
        deepStrictEqual(
          checks.filter(({ ok }) => !ok),
          [],
        );
      }).timeout(120_000);
});
