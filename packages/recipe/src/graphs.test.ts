import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { type Graph, parametersOf, printGraph } from "@lapidary/ir";
import { buildModel, tokenLosses } from "@lapidary/models";
import { sftEvalStep, sftStep } from "@lapidary/post-training";
import { tinyGemma } from "@lapidary/models/testing";
import { ensure } from "@lapidary/std";
import { type RecipeDefinition, defineRecipe } from "./definition.js";
import { type GraphRequest, stepProgram, userGraphs } from "./graphs.js";
import { option, type OptionSpecs } from "./options.js";

const model = tinyGemma;
const request: GraphRequest = {
  path: "/home/recipe.mjs",
  options: {},
  sets: {},
  segments: true,
  model,
  update: {
    steps: 4,
    optimizer: { name: "adamw", lr: 0.1, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0 },
    schedule: { name: "constant", warmup: 0 } as GraphRequest["update"]["schedule"],
  },
  batch: 2,
  seq: 8,
  seed: 1,
};
const shape = { batch: 2, seq: 8, segments: true };
const crossEntropy = defineRecipe({ apiVersion: 1, loss: (g, { logits, targets }) => tokenLosses(g, logits, targets) });
const graphOf = <O extends OptionSpecs>(definition: RecipeDefinition<O>, program: string, change: Partial<GraphRequest> = {}): Graph =>
  ensure(userGraphs(definition as unknown as RecipeDefinition, { ...request, ...change }).graphs[program], program).trace();
const names = (graph: Graph): readonly string[] => parametersOf(graph).map(({ name }) => name);

describe("the programs of a user's recipe", () => {
  it("a recipe of the cross-entropy has the programs of supervised fine-tuning", () => {
    const renamed = printGraph(sftStep(buildModel(model), request.update, shape)).replace("sft_step", stepProgram);
    strictEqual(printGraph(graphOf(crossEntropy, stepProgram)), renamed);
    strictEqual(printGraph(graphOf(crossEntropy, "eval_step")), printGraph(sftEvalStep(buildModel(model), shape)));
  });

  it("a frozen set is an input of the programs that read it, and the step does not return it", () => {
    const distilled = defineRecipe({
      apiVersion: 1,
      options: { weight: option.number({ describe: "weight", default: 2 }) },
      sets: ["teacher"],
      loss: (g, { logits, targets, set, options }) => ({
        losses: g.add(tokenLosses(g, logits, targets), g.scale(tokenLosses(g, set("teacher").logits, targets), options.weight)),
        metrics: { teacher: tokenLosses(g, set("teacher").logits, targets) },
      }),
    });
    const sets = { teacher: { ...model, layers: 2 } };
    const step = graphOf(distilled, stepProgram, { sets });
    const frozen = names(step).filter((name) => name.startsWith("teacher/params/"));
    strictEqual(frozen.length, buildModel({ ...model, layers: 2 }).params.length);
    const outputs = step.outputs.map(({ name }) => name);
    deepStrictEqual(
      outputs.filter((name) => name.startsWith("teacher")),
      ["teacher"],
    );
    deepStrictEqual(
      names(graphOf(distilled, "eval_step", { sets })).filter((name) => name.startsWith("teacher")),
      [],
    );
  });

  it("a program has only the inputs that it reads, and an array of the controller is one of them", () => {
    const counted = defineRecipe({
      apiVersion: 1,
      loss: (g, { logits, targets }) => tokenLosses(g, logits, targets),
      programs: {
        count: (g, { mask, array }) => ({ rows: g.multiply(g.reduce(mask, [1], "sum"), array("scale", "f32", [2], ["batch"])) }),
      },
    });
    deepStrictEqual(names(graphOf(counted, "count")), ["targets", "mask", "arrays/scale"]);
  });

  it("a loss of another shape, a missing or unknown set, a reserved name and a failing function are refused", () => {
    const refused = (definition: RecipeDefinition, code: string, message: RegExp, change: Partial<GraphRequest> = {}): void =>
      throws(() => graphOf(definition, stepProgram, change), { code, message });
    const losing = (loss: RecipeDefinition["loss"], more: Partial<RecipeDefinition> = {}): RecipeDefinition => ({
      apiVersion: 1,
      loss,
      ...more,
    });
    refused(
      losing((_, { logits }) => logits),
      "LAP_RECIPE_MODULE",
      /loss returned f32\[2,8,32\], expected f32\[2,8\]/,
    );
    refused(
      losing((_, { mask }) => ({ losses: mask, metrics: { loss: mask } })),
      "LAP_RECIPE_MODULE",
      /the name "loss"/,
    );
    refused(losing(crossEntropy.loss, { sets: ["teacher"] }), "LAP_RECIPE_OPTION", /needs the parameter set teacher/);
    refused(crossEntropy, "LAP_RECIPE_OPTION", /no parameter set "other"/, { sets: { other: model } });
    refused(losing(crossEntropy.loss, { programs: { init: () => ({}) } }), "LAP_RECIPE_MODULE", /a program "init"/);
    refused(
      losing((g, { mask, logits }) => g.add(mask, logits)),
      "LAP_RECIPE_FAILED",
      /loss threw: add/,
    );
    refused(
      losing((_, { set }) => set("none").logits),
      "LAP_RECIPE_FAILED",
      /the parameter set none/,
    );
  });
});
