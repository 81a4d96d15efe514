import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { GraphBuilder, type ValueOf, tensorType } from "@lapidary/ir";
import { makeMesh, parseTorus } from "@lapidary/topology";
import fc from "fast-check";
import { type ChipSpec, linkRate } from "../chip/chip-spec.js";
import { permuteStages } from "./permute.js";
import { chipNamed, ideal, v5e } from "../testing/fixtures.js";
import { type Placement, sendSeconds, spanOf, shortestPath } from "./placement.js";
import { podFigures } from "./pod-figures.js";
import { type GroupCollective, type Stage, stagesOf, uncontendedSeconds } from "./transfer.js";

const near = (actual: number, expected: number, tolerance = 1e-9): void =>
  ok(Math.abs(actual / expected - 1) <= tolerance, `${actual} for ${expected}`);

function placement(torus: string, axes: Record<string, number>, pods = 1, chip: ChipSpec = ideal(v5e)): Placement {
  return { mesh: makeMesh(axes), slice: parseTorus(torus), pods, chip };
}
const atomsOf = ({ mesh }: Placement, ...axes: string[]): number[] =>
  mesh.atoms.filter((atom) => axes.includes(atom.axis)).map(({ id }) => id);
const secondsOf = (at: Placement, op: GroupCollective, bytes: number, ...axes: string[]): number =>
  uncontendedSeconds(stagesOf(at, op, bytes, spanOf(at, atomsOf(at, ...axes))));

describe("network of a v5e pod", () => {
  const pod = placement("16x16", { data: 16, model: 16 });
  const flat = placement("16x16", { data: 256 });

  it("17 MB need 188 µs and 6 hops from corner to corner of a 4x4 slice: 194 µs", () => {
    const slice = placement("4x4", { data: 16 });
    strictEqual(shortestPath(slice, [0, 0], [3, 3]).hops, 6);
    near(sendSeconds(slice, 17e6, [0, 0], [3, 3]), 194e-6, 5e-3);
    near(sendSeconds(slice, 17e6, [0, 0], [3, 3]) - 6e-6, 188e-6, 5e-3);
  });

  it("an all_gather of V bytes takes V/W on a ring of 16 and V/2W on both dims, with W = 90 GB/s, without the chip's own part", () => {
    near(secondsOf(pod, "all_gather", 1e9, "model"), (1e9 / 90e9) * (15 / 16));
    near(secondsOf(pod, "all_gather", 1e9, "data"), (1e9 / 90e9) * (15 / 16));
    near(secondsOf(flat, "all_gather", 1e9, "data"), (1e9 / 180e9) * (255 / 256));
    near(secondsOf(pod, "all_gather", 1e9, "data", "model"), (1e9 / 180e9) * (255 / 256));
  });

  it("reduce_scatter takes as long as all_gather, all_reduce twice as long, all_to_all a quarter", () => {
    const gather = secondsOf(pod, "all_gather", 1e9, "model");
    near(secondsOf(pod, "reduce_scatter", 1e9, "model"), gather);
    near(secondsOf(pod, "all_reduce", 1e9, "model"), 2 * gather);
    near(secondsOf(pod, "all_to_all", 1e9 / 16, "model"), gather / 4);
  });

  it("a collective takes at least a microsecond per hop, for half of a ring", () => {
    near(secondsOf(pod, "all_gather", 10, "model"), 8e-6);
    near(secondsOf(flat, "all_gather", 10, "data"), 16e-6);
    near(secondsOf(flat, "all_reduce", 10, "data"), 32e-6);
  });

  it("a collective takes twice as long on a dim that is not a ring, such as the dim of 8 chips of an 8x16 slice", () => {
    const half = placement("8x16", { data: 8, model: 16 });
    strictEqual(spanOf(half, atomsOf(half, "data"))[`torus`][0]?.ring, false);
    strictEqual(spanOf(half, atomsOf(half, "model"))[`torus`][0]?.ring, true);
    near(secondsOf(half, "all_gather", 1e9, "data"), (1e9 / 45e9) * (7 / 8));
    near(secondsOf(half, "all_gather", 1e9, "model"), (1e9 / 90e9) * (15 / 16));
  });

  it("interleaved groups share links: a group of every fourth chip of a ring has a quarter of the rate", () => {
    const strided = placement("16x16", { data: 16, major: 4, minor: 4 });
    const span = spanOf(strided, atomsOf(strided, "major")).torus[0];
    strictEqual(span?.stride, 4);
    strictEqual(span.ring, true);
    near(span.rate, 90e9 / 4);
    strictEqual(spanOf(strided, atomsOf(strided, "minor")).torus[0]?.ring, false);
  });

  it("podFigures of v5e are those of its data sheet: all-reduce 51.2 TB/s, bisection 1.6 TB/s, DCN 6.4 Tbit/s, crossover at 63,040 tokens", () => {
    const figures = podFigures(v5e, parseTorus("16x16"));
    near(figures.allReduceBytesPerS, 51.2e12);
    near(figures.bisectionBytesPerS, 1.6e12);
    near(figures.dcnBytesPerS * 8, 6.4e12);
    strictEqual(Math.round(figures.dcnCrossoverTokens), 63_040);
  });

  it("podFigures of v6e are those of its data sheet: 102.4 TB/s, 3.2 TB/s, 25.6 Tbit/s", () => {
    const figures = podFigures(chipNamed("v6e"), parseTorus("16x16"));
    near(figures.allReduceBytesPerS, 102.4e12);
    near(figures.bisectionBytesPerS, 3.2e12);
    near(figures.dcnBytesPerS * 8, 25.6e12);
  });

  it("at the crossover, matmuls at the peak take as long as the reduction between pods", () => {
    const two = placement("16x16", { pod: 2, data: 256 }, 2);
    const params = 1e9;
    const dcn = stagesOf(two, "all_reduce", params * 2, spanOf(two, atomsOf(two, "pod", "data")))[1];
    // Between two pods each chip sends half of its part twice, which is the size of its part.
    near(dcn?.seconds ?? 0, (params * 2) / 256 / 3.125e9);
    const perToken = (4 * params) / (197e12 * 256);
    // The formula of the book is the limit of a large ring, 2 · bytes. Two pods send half of it.
    near((2 * (dcn?.seconds ?? 0)) / perToken, 63_040, 1e-3);
  });

  it("an all_reduce between pods scatters on the torus, reduces each chip's part over DCN, and gathers on the torus", () => {
    const pods = placement("16x16", { pod: 4, data: 256 }, 4);
    const stages = stagesOf(pods, "all_reduce", 1e9, spanOf(pods, atomsOf(pods, "pod", "data")));
    strictEqual(stages.map(({ resources }) => resources.join("+")).join(" "), "ici0+ici1 dcn ici0+ici1");
    near(stages[1]?.bytes ?? 0, 2 * (1e9 / 256) * (3 / 4));
  });

  describe("collective_permute", () => {
    const rows = tensorType("f32", [1, 1000]);
    const stagesFor = (at: Placement, axis: string, by: number, wrap: boolean): Stage[] => {
      const size = at.mesh.axes.find(({ name }) => name === axis)?.size ?? 1;
      const g = new GraphBuilder("permute", "chip", at.mesh);
      const x = g.parameter("x", rows);
      const moved = g.op("collective_permute", [x], { axes: [axis], size, dimension: 0, by, wrap }) as ValueOf<"collective_permute">;
      return permuteStages(at, moved, x, 4000);
    };
    const lines = placement("16x16", { data: 4, stage: 4, context: 4, model: 4 });
    const rate = linkRate(ideal(v5e));

    it("a message to the next chip uses one link", () => {
      const [stage] = stagesFor(lines, "stage", 1, false);
      near(stage?.seconds ?? 0, 4000 / rate);
      near(stage?.latency ?? 0, v5e.ici.hop_s);
    });

    it("the way back from the last of four chips has three hops, on links that nothing else uses", () => {
      const [stage] = stagesFor(lines, "stage", 1, true);
      near(stage?.seconds ?? 0, 4000 / rate);
      near(stage?.latency ?? 0, 3 * v5e.ici.hop_s);
    });

    it("messages along an axis with stride 4 share each link by four", () => {
      const [stage] = stagesFor(lines, "data", 1, false);
      near(stage?.seconds ?? 0, (4 * 4000) / rate);
      near(stage?.latency ?? 0, 4 * v5e.ici.hop_s);
    });

    it("stages on pods send over the network of the hosts", () => {
      const [stage, ...others] = stagesFor(placement("2x2", { stage: 4, data: 4 }, 4), "stage", 1, false);
      deepStrictEqual(stage?.resources, ["dcn"]);
      strictEqual(others.length, 0);
      strictEqual(stage?.bytes, 4000);
    });
  });

  const ops = fc.constantFrom<GroupCollective[]>("all_gather", "reduce_scatter", "all_reduce", "all_to_all");
  const places = fc.record({ pods: fc.constantFrom(1, 2, 4), x: fc.constantFrom(1, 2, 4, 8, 16), y: fc.constantFrom(2, 4, 8, 16) });

  it("collectives send the bytes of the compiler's formulas, on any placement", () => {
    fc.assert(
      fc.property(ops, places, fc.integer({ min: 1, max: 1e9 }), (op, { pods, x, y }, bytes) => {
        const at = placement(`${x}x${y}`, { pod: pods, data: x, model: y }, pods);
        const n = pods * x * y;
        const sent = stagesOf(at, op, bytes, spanOf(at, atomsOf(at, "pod", "data", "model"))).reduce((sum, stage) => sum + stage.bytes, 0);
        const formula = op === "all_to_all" ? undefined : ((op === "all_reduce" ? 2 : 1) * bytes * (n - 1)) / n;
        if (formula !== undefined) near(sent, formula, 1e-9);
        else ok(sent >= (bytes * (n - 1)) / n - 1e-6);
      }),
      { numRuns: 200 },
    );
  });

  it("a collective does not take less time for more bytes, longer hops or slower links", () => {
    fc.assert(
      fc.property(
        ops,
        places,
        fc.integer({ min: 1, max: 1e9 }),
        fc.double({ min: 1, max: 8, noNaN: true }),
        (op, { pods, x, y }, bytes, more) => {
          const time = (chip: ChipSpec, size: number): number =>
            secondsOf(placement(`${x}x${y}`, { pod: pods, data: x, model: y }, pods, chip), op, size, "pod", "data", "model");
          const chip = ideal(v5e);
          const base = time(chip, bytes);
          ok(time(chip, bytes * more) >= base);
          ok(time({ ...chip, ici: { ...chip.ici, hop_s: chip.ici.hop_s * more } }, bytes) >= base);
          ok(time({ ...chip, ici: { ...chip.ici, link_bytes_per_s: chip.ici.link_bytes_per_s / more } }, bytes) >= base);
          ok(time({ ...chip, host: { ...chip.host, dcn_bytes_per_s: chip.host.dcn_bytes_per_s / more } }, bytes) >= base);
        },
      ),
      { numRuns: 200 },
    );
  });
});
