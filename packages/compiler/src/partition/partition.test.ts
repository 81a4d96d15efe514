import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { makeMesh } from "@lapidary/topology";
import { type CollectiveAttrs, type Graph, GraphBuilder, type Value, printSharding, tensorType } from "@lapidary/ir";
import { type PropagateOptions, propagate } from "../propagate/index.js";
import { type PartitionOptions, partition } from "./partition.js";

const mesh = makeMesh({ data: 4, model: 4 });
const f32 = (...dims: number[]): ReturnType<typeof tensorType> => tensorType("f32", dims);
const rules = { batch: "data", mlp: "model" };

type Options = Omit<Partial<PropagateOptions>, "mesh"> & Partial<PartitionOptions>;

/** The program of one chip. */
function chipOf(build: (g: GraphBuilder) => void, { regather, ...options }: Options = {}, on = mesh): Graph {
  const g = new GraphBuilder("t");
  build(g);
  const propagated = propagate(g.finish(), { mesh: on, rules, zero: { stage: 0, axes: [] }, ...options });
  return partition(propagated, on, regather === undefined ? {} : { regather });
}

/** The program without parameters, as `id = op inputs axes: sharding`. A `~` marks values of regions. */
const lines = (...of: Parameters<typeof chipOf>): string[] => {
  const chip = chipOf(...of);
  const line = ({ id, op, inputs, attrs, sharding, scope }: Value): string => {
    const axes = (attrs as Partial<CollectiveAttrs>).axes?.join("+");
    const operands = inputs.map((input) => ` ${input}`).join("");
    const where = sharding === undefined || chip.mesh === undefined ? "?" : printSharding(chip.mesh, sharding);
    return `${scope.region === undefined ? "" : "~"}${id} = ${op}${operands}${axes === undefined ? "" : ` ${axes}`}: ${where}`;
  };
  const outputs = chip.outputs.map(({ name, value }) => `${name} = ${value}`);
  return [...chip.values.filter(({ op }) => op !== "parameter").map(line), ...outputs];
};
const causes = (...of: Parameters<typeof chipOf>): (string | undefined)[] => [
  ...new Set(chipOf(...of).values.flatMap(({ cause }) => cause ?? [])),
];

/** A matmul [8, out] over a dim that `model` splits: the chips of `model` have partial sums. */
const partialSums = (g: GraphBuilder, which = 0, out = 8): Value => {
  const x = g.parameter(`x${which}`, f32(8, 16), ["batch", "mlp"], "batch");
  const w = g.parameter(`w${which}`, f32(out, 16), [null, "mlp"], "param");
  return g.named(`y${which}`, g.dotGeneral(x, w, [], [[1, 1]]));
};

describe("partial sums are reduced where the reduction sends the fewest bytes", () => {
  it("two matmuls whose results are added are reduced once, after the add", () => {
    deepStrictEqual(
      lines((g) => g.output("y", g.add(partialSums(g, 0), partialSums(g, 1)))),
      [
        "2 = dot_general 0 1: [data, -] unreduced model",
        "5 = dot_general 3 4: [data, -] unreduced model",
        "6 = add 2 5: [data, -] unreduced model",
        "7 = all_reduce 6 model: [data, -]",
        "y = 7",
      ],
    );
  });

  it("a value with two linear uses of its own size is reduced before both", () => {
    const both = (g: GraphBuilder): void => {
      const y = partialSums(g);
      g.output("n", g.negate(y));
      g.output("m", g.scale(y, 2));
    };
    deepStrictEqual(lines(both), [
      "2 = dot_general 0 1: [data, -] unreduced model",
      "3 = all_reduce 2 model: [data, -]",
      "4 = negate 3: [data, -]",
      "5 = constant: [data, -]",
      "6 = multiply 3 5: [data, -]",
      ...["n = 4", "m = 6"],
    ]);
  });

  it("a smaller linear use is reduced instead of the value, and a larger use is not", () => {
    deepStrictEqual(
      lines((g) => g.output("s", g.reduce(partialSums(g), [1], "sum"))),
      ["2 = dot_general 0 1: [data, -] unreduced model", "3 = reduce 2: [data] unreduced model", "4 = all_reduce 3 model: [data]", "s = 4"],
    );
    deepStrictEqual(
      lines((g) => g.output("b", g.broadcastInDim(partialSums(g), [8, 8, 4], [0, 1]))),
      [
        "2 = dot_general 0 1: [data, -] unreduced model",
        "3 = all_reduce 2 model: [data, -]",
        "4 = broadcast_in_dim 3: [data, -, -]",
        "b = 4",
      ],
    );
  });

  it("a use of equal size takes the partial sums over", () => {
    deepStrictEqual(
      lines((g) => g.output("n", g.negate(partialSums(g)))),
      [
        "2 = dot_general 0 1: [data, -] unreduced model",
        "3 = negate 2: [data, -] unreduced model",
        "4 = all_reduce 3 model: [data, -]",
        "n = 4",
      ],
    );
  });

  it("a value with a role, an output and a nonlinear use need the sum", () => {
    deepStrictEqual(
      lines((g) => {
        const grad = g.named("grad", g.negate(partialSums(g)), ["batch", null], "gradient");
        g.output("n", g.negate(grad));
      }).slice(1, 4),
      ["3 = negate 2: [data, -] unreduced model", "4 = all_reduce 3 model: [data, -]", "5 = negate 4: [data, -]"],
    );
    deepStrictEqual(
      lines((g) => {
        const y = partialSums(g);
        g.output("y", y);
        g.output("s", g.reduce(y, [1], "sum"));
      }).slice(1),
      ["3 = all_reduce 2 model: [data, -]", "4 = reduce 3: [data]", "y = 3", "s = 4"],
    );
    deepStrictEqual(lines((g) => g.output("t", g.tanh(partialSums(g)))).slice(1), [
      "3 = all_reduce 2 model: [data, -]",
      "4 = tanh 3: [data, -]",
      "t = 4",
    ]);
  });

  it("one nonlinear use is enough for a value to be reduced, although another use is smaller", () => {
    deepStrictEqual(
      lines((g) => {
        const y = partialSums(g);
        g.output("s", g.reduce(y, [1], "sum"));
        g.output("t", g.tanh(y));
      }).slice(1),
      ["3 = all_reduce 2 model: [data, -]", "4 = reduce 3: [data]", "5 = tanh 3: [data, -]", "s = 4", "t = 5"],
    );
  });

  it("a value that is added to another one with new partial sums costs nothing there, because their sum is reduced in any case", () => {
    deepStrictEqual(
      lines((g) => {
        const [a, b] = [partialSums(g, 0), partialSums(g, 1)];
        g.output("s", g.add(a, b));
        g.output("n", g.negate(a));
      }).slice(2),
      [
        "6 = add 2 5: [data, -] unreduced model",
        "7 = negate 2: [data, -] unreduced model",
        "8 = all_reduce 6 model: [data, -]",
        "9 = all_reduce 7 model: [data, -]",
        ...["s = 8", "n = 9"],
      ],
    );
  });

  it("values that take partial sums over share the bytes of the reduction of their sum", () => {
    deepStrictEqual(lines((g) => g.output("s", g.add(g.negate(partialSums(g, 0)), g.negate(partialSums(g, 1))))).slice(2), [
      "6 = dot_general 4 5: [data, -] unreduced model",
      "7 = negate 6: [data, -] unreduced model",
      "8 = add 3 7: [data, -] unreduced model",
      "9 = all_reduce 8 model: [data, -]",
      "s = 9",
    ]);
  });

  it("a value is reduced before a use that is split less, because each chip would reduce more", () => {
    deepStrictEqual(lines((g) => g.output("c", g.constrain(partialSums(g), [null, null]))).slice(1), [
      "3 = all_reduce 2 model: [data, -]",
      "4 = all_gather 3 data: [-, -]",
      "c = 4",
    ]);
  });

  it("partial sums over two axes are scattered over one of them and reduced over the other, and the cause names both", () => {
    const both = (g: GraphBuilder): void => {
      const x = g.parameter("x", f32(8, 16, 4), ["batch", "mlp", null], "batch");
      g.output("grad", g.named("grad", g.reduce(x, [0, 1], "sum"), ["heads"], "gradient"));
    };
    const options = { rules: { ...rules, heads: "model" } };
    deepStrictEqual(lines(both, options), [
      "1 = reduce 0: [-] unreduced data+model",
      "2 = reduce_scatter 1 model: [model] unreduced data",
      "3 = all_reduce 2 data: [model]",
      "grad = 3",
    ]);
    deepStrictEqual(causes(both, options), [
      "reduces the partial sums of grad over data+model: a summed dim is split there by rule batch → data; the gradient itself has dim 0 split over model, so a reduce_scatter and, over data, an all_reduce",
    ]);
  });

  it("a partial maximum is reduced at once, because no op takes it over", () => {
    deepStrictEqual(
      lines((g) => g.output("m", g.negate(g.reduce(g.parameter("x", f32(8, 16), ["batch", "mlp"], "batch"), [1], "max")))),
      ["1 = reduce 0: [data] unreduced-max model", "2 = all_reduce 1 model: [data]", "3 = negate 2: [data]", "m = 3"],
    );
  });
});

/** A layer, its gradient and the update of its weight. */
const layer = (g: GraphBuilder): void => {
  const x = g.parameter("x", f32(8, 16), ["batch", null], "batch");
  const w = g.parameter("w", f32(16, 16), ["mlp", null], "param");
  const y = g.dotGeneral(x, w, [], [[1, 1]]);
  const [back, grad] = g.inPhase("backward", () => [
    g.dotGeneral(y, w, [], [[1, 0]]),
    g.named("grad", g.dotGeneral(y, x, [], [[0, 0]]), ["mlp", null], "gradient"),
  ]);
  g.output(
    "w",
    g.inPhase("update", () => g.subtract(w, grad)),
  );
  g.output("back", back);
};

describe("ZeRO", () => {
  const zero = (stage: 1 | 2 | 3): Options => ({ zero: { stage, axes: ["data"] } });

  it("with ZeRO-3 both passes gather the parameter, and its gradient is scattered", () => {
    deepStrictEqual(lines(layer, zero(3)), [
      "2 = all_gather 1 data: [model, -]",
      "3 = dot_general 0 2: [data, model]",
      "4 = all_gather 1 data: [model, -]",
      "5 = dot_general 3 4: [data, -] unreduced model",
      "6 = dot_general 3 0: [model, -] unreduced data",
      "7 = reduce_scatter 6 data: [model, data]",
      "8 = subtract 1 7: [model, data]",
      "9 = all_reduce 5 model: [data, -]",
      ...["w = 8", "back = 9"],
    ]);
  });

  it("a constrain of a weight that the forward pass gathered is gathered again for an output of the update", () => {
    const constrained = (g: GraphBuilder): void =>
      g.output("whole", g.constrain(g.negate(g.parameter("w", f32(16, 16), ["mlp", null], "param")), [null, null]));
    deepStrictEqual(lines(constrained, { rules: { mlp: "model" } }), [
      "1 = negate 0: [model, -]",
      "2 = all_gather 1 model: [-, -]",
      "3 = all_gather 1 model: [-, -]",
      "whole = 3",
    ]);
  });

  it("without `regather` the backward pass reads the parameter that the forward pass gathered", () => {
    deepStrictEqual(lines(layer, { ...zero(3), regather: false }).slice(0, 3), [
      "2 = all_gather 1 data: [model, -]",
      "3 = dot_general 0 2: [data, model]",
      "4 = dot_general 3 2: [data, -] unreduced model",
    ]);
  });

  it("the recomputation of the backward pass and the backward pass itself share one gather", () => {
    const recomputing = (g: GraphBuilder): void => {
      const x = g.parameter("x", f32(8, 16), ["batch", null], "batch");
      const w = g.parameter("w", f32(16, 16), ["mlp", null], "param");
      const passes = (["forward", "recompute", "backward"] as const).map((phase) =>
        g.inPhase(phase, () => g.dotGeneral(x, w, [], [[1, 1]])),
      );
      passes.forEach((y, i) => g.output(`y${i}`, y));
    };
    deepStrictEqual(lines(recomputing, zero(3)).slice(0, 5), [
      "2 = all_gather 1 data: [model, -]",
      "3 = dot_general 0 2: [data, model]",
      "4 = all_gather 1 data: [model, -]",
      "5 = dot_general 0 4: [data, model]",
      "6 = dot_general 0 4: [data, model]",
    ]);
  });

  it("the cause of a collective names array, axes, rule and use", () => {
    deepStrictEqual(causes(layer, zero(3)), [
      "gathers dim 1 of w over data: it is split there by ZeRO-3 (params → data); dot_general dot_general needs it whole, because the op uses data for rule batch → data",
      "reduces the partial sums of grad over data: a summed dim is split there by rule batch → data; the gradient itself has dim 1 split over data, so a reduce_scatter",
      "reduces the partial sums of dot_general over model: a summed dim is split there by rule mlp → model; the output back needs the sum on every chip of model, so an all_reduce",
    ]);
    deepStrictEqual(
      causes(layer, zero(2)).filter((cause) => /next|part of/.test(cause ?? "")),
      [
        "takes this chip's part of w for subtract subtract: no communication",
        "gathers dim 1 of subtract over data: it is split there by ZeRO-2 (gradients → data); the next w, like the current one, needs it whole",
      ],
    );
  });

  it("each collective belongs to the pass of the use that needs it", () => {
    deepStrictEqual(
      chipOf(layer, zero(3)).values.flatMap(({ cause, op, scope }) => (cause === undefined ? [] : [[op, scope.phase]])),
      [
        ["all_gather", "forward"],
        ["all_gather", "backward"],
        ["reduce_scatter", "backward"],
        ["all_reduce", "update"],
      ],
    );
  });
});

describe("regions that add gradients", () => {
  /** Three microbatches, whose gradients are added to `first`. */
  const accumulate =
    (first: number) =>
    (g: GraphBuilder): void => {
      const w = g.parameter("w", f32(16, 16), ["mlp", null], "param");
      const x = g.parameter("x", f32(8, 16), ["batch", null], "batch");
      const [sum] = g.repeat(3, [g.splat(first, f32(16, 16))], ([before]) => {
        const grad = g.dotGeneral(g.dotGeneral(x, w, [], [[1, 1]]), x, [], [[0, 0]]);
        return before === undefined ? [] : [g.add(before, grad)];
      });
      if (sum !== undefined) g.output("w", g.subtract(w, g.named("grad", sum, ["mlp", null], "gradient")));
    };
  const zero = { stage: 2, axes: ["data"] } as const;
  const scattered = [
    "2 = constant: [model, data]",
    "~3 = carry 2: [model, data]",
    "~4 = dot_general 1 0: [data, model]",
    "~5 = dot_general 4 1: [model, -] unreduced data",
    "~6 = reduce_scatter 5 data: [model, data]",
    "~7 = add 3 6: [model, data]",
    "~8 = yield 3 7: [model, data]",
    "9 = shard_slice 0 data: [model, data]",
    "10 = subtract 9 8: [model, data]",
    "11 = all_gather 10 data: [model, -]",
    "w = 11",
  ];

  it("with `scattered` sums every iteration reduces its gradient onto the shards of ZeRO, which is the default from ZeRO-2 on", () => {
    deepStrictEqual(lines(accumulate(0), { zero, gradientSums: "scattered" }), scattered);
    deepStrictEqual(lines(accumulate(0), { zero }), scattered);
  });

  it("with `whole` sums the region adds partial sums, which are reduced once after it, and this is the default below ZeRO-2", () => {
    const whole = [
      "2 = constant: [model, -]",
      "~3 = carry 2: [model, -] unreduced data",
      "~4 = dot_general 1 0: [data, model]",
      "~5 = dot_general 4 1: [model, -] unreduced data",
      "~6 = add 3 5: [model, -] unreduced data",
      "~7 = yield 3 6: [model, -] unreduced data",
    ];
    deepStrictEqual(lines(accumulate(0), { zero, gradientSums: "whole" }), [
      ...whole,
      "8 = reduce_scatter 7 data: [model, data]",
      ...["9 = shard_slice 0 data: [model, data]", "10 = subtract 9 8: [model, data]", "11 = all_gather 10 data: [model, -]", "w = 11"],
    ]);
    deepStrictEqual(lines(accumulate(0), { zero: { stage: 1, axes: ["data"] } }), [
      ...whole,
      ...["8 = all_reduce 7 data: [model, -]", "9 = subtract 0 8: [model, -]", "w = 9"],
    ]);
  });

  it("with pods every iteration reduces onto the shards of ZeRO, and the sum is reduced between pods once", () => {
    const pods = makeMesh({ pod: 2, data: 4 });
    const program = lines(
      (g) => {
        const w = g.parameter("w", f32(16, 16), [null, null], "param");
        const x = g.parameter("x", f32(8, 16), ["batch", null], "batch");
        const [sum] = g.repeat(3, [g.splat(0, f32(16, 16))], ([before]) => {
          const grad = g.dotGeneral(g.dotGeneral(x, w, [], [[1, 1]]), x, [], [[0, 0]]);
          return before === undefined ? [] : [g.add(before, grad)];
        });
        if (sum !== undefined) g.output("w", g.subtract(w, g.named("grad", sum, [null, null], "gradient")));
      },
      { rules: { batch: ["pod", "data"] }, zero },
      pods,
    );
    deepStrictEqual(program.slice(1, 8), [
      "~3 = carry 2: [data, -] unreduced pod",
      "~4 = dot_general 1 0: [pod+data, -]",
      "~5 = dot_general 4 1: [-, -] unreduced pod+data",
      "~6 = reduce_scatter 5 data: [data, -] unreduced pod",
      "~7 = add 3 6: [data, -] unreduced pod",
      "~8 = yield 3 7: [data, -] unreduced pod",
      "9 = all_reduce 8 pod: [data, -]",
    ]);
  });

  it("the initial value of a carry is moved to the sharding of the carry before the region", () => {
    const carried = (g: GraphBuilder): void => {
      const x = g.parameter("x", f32(8, 16), ["batch", null], "batch");
      const w = g.parameter("w", f32(8, 16), ["mlp", null], "param");
      const [last] = g.repeat(2, [w], ([before]) => (before === undefined ? [] : [g.add(before, x)]));
      if (last !== undefined) g.output("s", last);
    };
    deepStrictEqual(lines(carried), [
      "2 = all_gather 1 model: [-, -]",
      "3 = shard_slice 2 data: [data, -]",
      "~4 = carry 3: [data, -]",
      "~5 = add 4 0: [data, -]",
      "~6 = yield 4 5: [data, -]",
      "s = 6",
    ]);
    deepStrictEqual(causes(carried), [
      "gathers dim 0 of w over model: it is split there by rule mlp → model; the first iteration of carry needs it whole",
    ]);
  });

  it("a sum that begins with other numbers than zeros is reduced in every iteration", () => {
    deepStrictEqual(lines(accumulate(1)).slice(1, 6), [
      "~3 = carry 2: [model, -]",
      "~4 = dot_general 1 0: [data, model]",
      "~5 = dot_general 4 1: [model, -] unreduced data",
      "~6 = all_reduce 5 data: [model, -]",
      "~7 = add 3 6: [model, -]",
    ]);
  });
});

describe("versions of values", () => {
  it("a constant is computed in the sharding of each use, once for equal shardings", () => {
    deepStrictEqual(
      lines((g) => {
        const x = g.parameter("x", f32(8, 16), ["batch", "mlp"], "batch");
        const v = g.parameter("v", f32(8, 16), [null, null], "param");
        const two = g.splat(2, f32(8, 16));
        g.output("a", g.add(g.multiply(x, two), two));
        g.output("b", g.multiply(v, two));
      }),
      [
        "2 = constant: [data, model]",
        "3 = multiply 0 2: [data, model]",
        "4 = add 3 2: [data, model]",
        "5 = constant: [-, -]",
        "6 = multiply 1 5: [-, -]",
        ...["a = 4", "b = 6"],
      ],
    );
  });

  it("a second use in the same sharding needs no second collective", () => {
    deepStrictEqual(
      lines((g) => {
        const x = g.constrain(g.tanh(g.parameter("x", f32(8, 16), ["batch", null], "batch")), [null, "mlp"]);
        g.output("y", g.negate(x));
        g.output("z", g.exponential(x));
      }),
      [
        "1 = tanh 0: [data, -]",
        "2 = shard_slice 1 model: [data, model]",
        "3 = all_gather 2 data: [-, model]",
        "4 = negate 3: [-, model]",
        "5 = exponential 3: [-, model]",
        ...["y = 4", "z = 5"],
      ],
    );
  });

  it("a use takes the version from which its sharding costs the fewest bytes", () => {
    deepStrictEqual(
      lines((g) => {
        const x = g.tanh(g.parameter("x", f32(8, 16), ["batch", null], "batch"));
        g.output("whole", g.constrain(x, [null, null]));
        g.output("split", g.constrain(x, [null, "mlp"]));
        g.output("both", g.constrain(x, ["batch", "mlp"]));
      }),
      [
        "1 = tanh 0: [data, -]",
        "2 = all_gather 1 data: [-, -]",
        // A part of the whole array costs nothing, and a gather of the other version would.
        "3 = shard_slice 2 model: [-, model]",
        "4 = shard_slice 1 model: [data, model]",
        ...["whole = 2", "split = 3", "both = 4"],
      ],
    );
  });

  it("an output that is the next state has the sharding of the state", () => {
    const chip = chipOf((g) => {
      const s = g.parameter("s", f32(8, 16), [null, "mlp"], "optimizer");
      const x = g.parameter("x", f32(8, 16), ["batch", null], "batch");
      g.output("s", g.add(s, x));
    });
    const next = chip.values[chip.outputs[0]?.value ?? -1];
    strictEqual(next?.sharding && printSharding(mesh, next.sharding), "[-, model]");
    deepStrictEqual([chip.level, chip.mesh, chip.name], ["chip", mesh, "t"]);
  });
});
