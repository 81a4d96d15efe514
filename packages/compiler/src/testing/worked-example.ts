import { makeMesh, makeWorkerGrid } from "@lapidary/topology";
import { type Graph, GraphBuilder, type Value, printGraph, printValue, tensorType } from "@lapidary/ir";
import { type StageName, compile } from "../compile.js";
import { gradients } from "../differentiate/index.js";
import { explainCollectives } from "../explain/index.js";
import { lower } from "../lower/index.js";
import { printSchedule } from "../schedule/index.js";

/**
 * The example of this package's README: one transformer block (one head per column of chips, no norms) with a loss and gradient
 * descent, on a 2×2 mesh. B=4 rows of T=2 tokens, D=8, two heads of 4, an MLP of 16.
 */
export function exampleStep(): Graph {
  const g = new GraphBuilder("block");
  const [B, T, D, H, E, F] = [4, 2, 8, 2, 4, 16];
  const shapes = { q: [H * E, D], k: [H * E, D], v: [H * E, D], o: [D, H * E], up: [F, D], down: [D, F] } as const;
  const axes = {
    q: ["heads/2", "embed"],
    k: ["heads/2", "embed"],
    v: ["heads/2", "embed"],
    o: ["embed", "heads/2"],
    up: ["mlp", "embed"],
    down: ["embed", "mlp"],
  } as const;
  const names = Object.keys(shapes) as (keyof typeof shapes)[];
  const w = Object.fromEntries(
    names.map((name) => [name, g.parameter(name, tensorType("f32", shapes[name]), axes[name], "param")]),
  ) as Record<keyof typeof shapes, Value>;
  const x = g.parameter("x", tensorType("f32", [B, T, D]), ["batch", null, null], "batch");
  const loss = g.block("layers", 0, () => {
    const heads = (v: Value): Value => g.reshape(v, [B, T, H, E]);
    const attended = g.scope("attn", () => {
      const [q, k, v] = (["q", "k", "v"] as const).map((name) => heads(g.named(name, g.dotGeneral(x, w[name], [], [[2, 1]])))) as [
        Value,
        Value,
        Value,
      ];
      const scores = g.named(
        "scores",
        g.exponential(
          g.dotGeneral(
            q,
            k,
            [
              [0, 0],
              [2, 2],
            ],
            [[3, 3]],
          ),
        ),
      );
      const mixed = g.named(
        "mixed",
        g.dotGeneral(
          scores,
          v,
          [
            [0, 0],
            [1, 2],
          ],
          [[3, 1]],
        ),
      );
      return g.named("out", g.dotGeneral(g.reshape(g.transpose(mixed, [0, 2, 1, 3]), [B, T, H * E]), w.o, [], [[2, 1]]));
    });
    const after = g.named("after_attn", g.add(x, attended));
    const fed = g.scope("mlp", () =>
      g.named("out", g.dotGeneral(g.named("hidden", g.tanh(g.named("up", g.dotGeneral(after, w.up, [], [[2, 1]])))), w.down, [], [[2, 1]])),
    );
    return g.named("loss", g.reduce(g.square(g.named("after_mlp", g.add(after, fed))), [0, 1, 2], "sum"));
  });
  const grads = gradients(
    g,
    loss,
    names.map((name) => w[name]),
  );
  g.inPhase("update", () =>
    names.forEach((name, i) => {
      const grad = g.named(`grads/${name}`, grads[i] as Value, axes[name], "gradient");
      g.output(name, g.named(`next/${name}`, g.subtract(w[name], g.scale(grad, 0.1))));
    }),
  );
  g.output("loss", loss);
  return g.finish();
}

/** The texts that the README shows, by the name of their marker. */
export function exampleTexts(): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  const about = (graph: Graph, pattern: RegExp): string =>
    graph.values
      .filter((v) => v.op !== "constant" && pattern.test(v.name))
      .map((v) => printValue(graph, v))
      .join("\n");
  const mlp = /^(up|down|layers\.0\.mlp|layers\.0\.after|grads\/down|next\/down)/;
  const stages = new Map<StageName, Graph>();
  const program = compile(exampleStep(), {
    mesh: makeMesh({ data: 2, model: 2 }),
    rules: { batch: "data", heads: "model", mlp: "model" },
    zero: { stage: 3, axes: ["data"] },
    report: (stage, graph) => stages.set(stage, graph),
  });
  const stage = (name: StageName): Graph => stages.get(name) as Graph;
  texts.set(
    "trace",
    printGraph({
      ...stage("trace"),
      values: stage("trace").values.filter((v) => v.scope.phase === "forward" && v.op !== "constant"),
      outputs: [],
    }).replace(/\nreturn.*$/, ""),
  );
  texts.set("differentiate", about(stage("trace"), /^(grad\(layers\.0\.mlp|grads\/down|next\/down)/));
  texts.set("propagate", about(stage("propagate"), mlp));
  texts.set("partition", about(stage("partition"), mlp));
  texts.set("optimize", `${stage("partition").values.length} values before, ${stage("optimize").values.length} after`);
  texts.set(
    "schedule",
    printSchedule(program.chip, program.schedule)
      .split("\n")
      .filter((line) => /@(down|layers\.0\.mlp)/.test(line) || /^start/.test(line))
      .slice(0, 16)
      .join("\n"),
  );
  const { peakByClass, peakBytes } = program.memory;
  texts.set(
    "memory",
    Object.entries(peakByClass)
      .map(([kind, bytes]) => `${kind.padEnd(12)} ${String(bytes).padStart(6)} B`)
      .join("\n") + `\n${"peak".padEnd(12)} ${String(peakBytes).padStart(6)} B a chip`,
  );
  const host = lower(program.chip, makeWorkerGrid(program.mesh, 2));
  texts.set(
    "lower",
    host.graph.values
      .filter((v) => v.op !== "constant" && mlp.test(v.name))
      .map((v) => printValue(host.graph, { ...v, cause: undefined } as Value))
      .join("\n"),
  );
  texts.set(
    "explain",
    explainCollectives(program)
      .slice(0, 4)
      .map((c) => `${c.op} ${c.axis}  ${c.count}×  ${c.bytes_per_chip} B a chip  ${Math.round(c.share * 100)} %  ${c.phase}\n    ${c.why}`)
      .join("\n"),
  );
  return texts;
}

/** `text` with the block after each marker `<!-- example: NAME -->` replaced. */
export function withExamples(text: string): string {
  const texts = exampleTexts();
  return text.replace(/(<!-- example: (\w+) -->\n```\w*\n)[^]*?(```)/g, (whole, head: string, name: string, tail: string) => {
    const body = texts.get(name);
    return body === undefined ? whole : `${head}${body}\n${tail}`;
  });
}
