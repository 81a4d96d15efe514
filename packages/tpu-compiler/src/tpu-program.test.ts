import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runPython } from "./testing/python.js";

/** Optimized HLO as libtpu prints it, shortened: two slices of 2 x 4 chips, pod=2, data=2, model=4. */
const hlo = `HloModule jit_step, is_scheduled=true

%body (p: (f32[8])) -> (f32[8]) {
  %p = f32[8]{0} parameter(0)
  %gather.1 = f32[32]{0} all-gather(%p), channel_id=3, replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}
  %kernel.1 = f32[8]{0} fusion(%gather.1), kind=kLoop, calls=%fused, metadata={op_name="layers.0.mlp.up#7"}, backend_config={"estimated_cycles":"100"}
}

%fused (q: f32[32]) -> f32[8] {
  %q = f32[32]{0} parameter(0)
  ROOT %again = f32[32]{0} all-gather(%q), channel_id=9, replica_groups={{0,4},{1,5},{2,6},{3,7}}, dimensions={0}
}

%overlap (r: f32[16]) -> f32[16] {
  %r = f32[16]{0} parameter(0)
  ROOT %started = f32[16]{0} all-reduce(%r), channel_id=4, replica_groups={{0,4},{1,5},{2,6},{3,7}}, to_apply=%add
}

%scatter (s: f32[64]) -> f32[32] {
  %s = f32[64]{0} parameter(0)
  %sum = f32[64]{0} all-reduce(%s), channel_id=20, replica_groups={{0,4},{1,5},{2,6},{3,7}}, to_apply=%add
  ROOT %part = f32[32]{0} dynamic-slice(%sum, %i), dynamic_slice_sizes={32}
}

ENTRY %main (a: f32[16]) -> f32[16] {
  %a = f32[16]{0} parameter(0)
  %b = f32[64]{0} parameter(1)
  %begin = f32[16]{0} fusion(%a), kind=kCustom, calls=%overlap, metadata={op_name="grads/w#9"}, backend_config={"estimated_cycles":"50"}
  %end = f32[16]{0} all-reduce(%begin), channel_id=4, replica_groups={{0,4},{1,5},{2,6},{3,7}}, to_apply=%add
  %loop = (f32[8]) while(%a), condition=%cond, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %scattered = f32[32]{0} fusion(%b), kind=kCustom, calls=%scatter
  %whole = f32[64]{0} all-reduce(%b), channel_id=21, replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  %slice = f32[16]{0} dynamic-slice(%whole, %i), dynamic_slice_sizes={16}
  %send = (f32[2,8,128]{2,1,0:T(8,128)}, u32[], token[]) send(%end, %token), channel_id=6, is_host_transfer=true, frontend_attributes={_xla_megascale_target="{1,2}x{0:7}",_xla_megascale_transfer_type="ALL_REDUCE"}
  %recv = (f32[2,8,128]{2,1,0:T(8,128)}, u32[], token[]) recv(%token), channel_id=7, is_host_transfer=true, frontend_attributes={_xla_megascale_transfer_type="ALL_REDUCE"}
  ROOT %move = f32[16]{0} collective-permute(%end), channel_id=8, source_target_pairs={{0,1},{1,0}}
}
`;

describe("the reader of TPU programs", () => {
  const rows = runPython(
    `from lapidary_xla.mesh import Mesh
from lapidary_xla.tpu_program import tpu_collectives, tpu_cycles
mesh = Mesh([("pod", 2), ("data", 2), ("model", 4)])
print(json.dumps([tpu_collectives(given, mesh, 2), tpu_cycles(given)]))`,
    hlo,
  ) as [{ op: string; axes: string[]; bytes: number; runs: number }[], { name: string; cycles: number }[]];
  const [collectives, cycles] = rows;

  it("a collective in a loop, or in a kernel of a loop, counts as often as the loop runs", () => {
    deepStrictEqual(
      collectives.filter(({ op }) => op === "all_gather").map(({ axes, bytes, runs }) => [axes, bytes, runs]),
      [
        [["model"], 96, 5],
        [["data"], 128, 5],
      ],
    );
  });

  it("an asynchronous collective, whose start and end are in two computations, counts once", () => {
    deepStrictEqual(
      collectives.filter(({ op, axes }) => op === "all_reduce" && axes[0] === "data"),
      [{ op: "all_reduce", axes: ["data"], bytes: 64, runs: 1 }],
    );
  });

  it("a kernel that reduces and slices is a reduce_scatter, a reduction that another kernel slices is an all_reduce", () => {
    const sums = collectives.filter(({ bytes }) => bytes === 128 || bytes === 384);
    deepStrictEqual(
      sums.filter(({ op }) => op !== "all_gather").map(({ op, axes, bytes }) => [op, axes, bytes]),
      [
        ["reduce_scatter", ["data"], 128],
        ["all_reduce", ["model"], 384],
      ],
    );
  });

  it("a transfer between slices is a collective over the pod axis", () => {
    deepStrictEqual(
      collectives.filter(({ axes }) => axes.includes("pod")),
      [{ op: "all_reduce", axes: ["pod"], bytes: 2 * 8 * 128 * 4, runs: 1 }],
    );
  });

  it("a permutation has the axes along which a source and its target differ", () => {
    deepStrictEqual(collectives.find(({ op }) => op === "collective_permute")?.axes, ["model"]);
  });

  it("cycles of the body of a loop are multiplied by its trip count", () => {
    deepStrictEqual(cycles, [
      { name: "grads/w#9", cycles: 50 },
      { name: "layers.0.mlp.up#7", cycles: 500 },
    ]);
  });
});

describe("the errors of the TPU compiler", () => {
  it("an unknown slice is answered with the nearest slices of the chip, an unknown chip with the chips", () => {
    const remedies = runPython(
      `from lapidary_xla.tpu_compiler import remedy_for
print(json.dumps([remedy_for(name) for name in given]))`,
      ["v5e:3x5", "v5p:4x4x3", "v9:4x4"],
    ) as string[];
    match(remedies[0] ?? "", /nearest slices of v5e are 2x2, 2x4, 4x4: set `slice` and `mesh`/);
    match(remedies[1] ?? "", /nearest slices of v5p are .*4x4x4/);
    match(remedies[2] ?? "", /v4, v5e, v5p, v6e/);
  });

  it("a program for another number of chips than the slices have is refused with both numbers, before it is compiled", () => {
    const directory = mkdtempSync(join(tmpdir(), "lapidary-module-"));
    try {
      writeFileSync(join(directory, "chip.mlir"), 'sdy.mesh @mesh = <["data"=4, "model"=2]>\n');
      const refused = runPython(
        `from pathlib import Path
from lapidary_xla import tpu_compiler
from lapidary_xla.failures import Failure
tpu_compiler.topology_devices = lambda name, slices: [None] * 4 * slices
try:
    tpu_compiler.compile_module(Path(given), "v5e:2x2", 3, None)
except Failure as failure:
    print(json.dumps(failure.fields()))`,
        join(directory, "chip.mlir"),
      ) as { code: string; message: string; exit_code: number };
      deepStrictEqual(
        [refused.code, refused.message, refused.exit_code],
        ["LAP_TPU_TOPOLOGY", "3 slices of v5e:2x2 have 12 chips, the program needs 8", 2],
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("a rejected program is reported with the names of our values", () => {
    const message = runPython(
      `from lapidary_xla.tpu_compiler import rejected
print(json.dumps(rejected(Exception(given), "x").message))`,
      'UNIMPLEMENTED: op is not supported\\n  at loc("layers.3.attn.scores#141")',
    );
    strictEqual(
      message,
      'the TPU compiler rejects the program at layers.3.attn.scores#141: UNIMPLEMENTED: op is not supported\\n  at loc("layers.3.attn.scores#141")',
    );
  });

  it("the message of a full memory becomes its sizes and the names of the largest buffers", () => {
    const short = runPython(
      `from lapidary_xla.tpu_compiler import does_not_fit
print(json.dumps(does_not_fit(given)))`,
      `RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.01G of 15.75G hbm. Exceeded hbm capacity by 4.26G.
  1. Size: 8.00G
     Operator: op_type="dot_general" op_name="logits#153"
     Shape: f32[8192,256128]{1,0:T(8,128)}`,
    );
    deepStrictEqual(short, {
      used: Math.round(20.01 * 2 ** 30),
      limit: 15.75 * 2 ** 30,
      buffers: [{ bytes: 8 * 2 ** 30, name: "logits#153", shape: "f32[8192,256128]" }],
    });
  });
});

describe("the cache of the TPU compiler's results", () => {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-results-"));
  after(() => rmSync(directory, { recursive: true }));

  const script = `from pathlib import Path
from lapidary_xla.tpu_command import earlier_result, keep_result
kept = Path(given["kept"])
if "result" in given:
    keep_result(kept, given["result"])
print(json.dumps(earlier_result(kept)))`;

  it("a result is read as it was written, and a damaged file counts as no result", () => {
    const kept = join(directory, "tpu/key.json");
    deepStrictEqual(runPython(script, { kept }), null);
    deepStrictEqual(runPython(script, { kept, result: { compile_s: 1 } }), { compile_s: 1 });
    writeFileSync(kept, '{"compile_s"');
    deepStrictEqual(runPython(script, { kept }), null);
  });

  it("a result that cannot be written to the cache is not lost, and leaves no partial file", () => {
    writeFileSync(join(directory, "file"), "");
    deepStrictEqual(runPython(script, { kept: join(directory, "file/key.json"), result: { compile_s: 1 } }), null);
    deepStrictEqual(
      readdirSync(directory).filter((name) => name.includes("tmp")),
      [],
    );
  });

  it("a full disk is reported as such, and not as a program that the compiler rejects", () => {
    const codes = runPython(
      `from pathlib import Path
from lapidary_xla.failures import Failure
from lapidary_xla.tpu_command import ended_with
from lapidary_xla.tpu_compiler import write_file
codes = [ended_with(1, "OSError: [Errno 28] No space left on device: 'x'").code, ended_with(-9, "").code]
try:
    write_file(Path("/dev/full"), "text")
except Failure as failure:
    codes.append(failure.code)
print(json.dumps(codes))`,
      null,
    );
    deepStrictEqual(codes, ["LAP_XLA_SPACE", "LAP_TPU_COMPILE", "LAP_XLA_SPACE"]);
  });
});

describe("the installation of the TPU compiler", () => {
  const wheelCheck = `from pathlib import Path
from lapidary_xla.environment import check_wheels
from lapidary_xla.failures import Failure
try:
    check_wheels(Path(given["wheels"]), given["hashes"])
    print(json.dumps("accepted"))
except Failure as failure:
    print(json.dumps(failure.code))`;

  it("a wheel with another hash than the pinned one is refused and removed, and an unknown wheel of libtpu is refused", () => {
    const wheels = mkdtempSync(join(tmpdir(), "lapidary-wheels-"));
    try {
      writeFileSync(join(wheels, "libtpu-1-cp311.whl"), "abc");
      const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
      strictEqual(runPython(wheelCheck, { wheels, hashes: { "libtpu-1-cp311.whl": abc } }), "accepted");
      strictEqual(runPython(wheelCheck, { wheels, hashes: {} }), "LAP_XLA_HASH");
      strictEqual(runPython(wheelCheck, { wheels, hashes: {} }), "accepted", "the refused wheel is removed");
      writeFileSync(join(wheels, "jax-1.whl"), "other");
      strictEqual(runPython(wheelCheck, { wheels, hashes: { "jax-1.whl": abc } }), "LAP_XLA_HASH");
    } finally {
      rmSync(wheels, { recursive: true });
    }
  });

  it("a disk with less free space than the installation needs is reported before anything is downloaded", () => {
    const code = runPython(
      `from pathlib import Path
from lapidary_xla.environment import require_space
from lapidary_xla.failures import Failure
try:
    require_space(Path(given), 1e18)
except Failure as failure:
    print(json.dumps([failure.code, failure.remedy]))`,
      tmpdir(),
    ) as string[];
    strictEqual(code[0], "LAP_XLA_SPACE");
    match(code[1] ?? "", /LAPIDARY_CACHE/);
  });

  it("an environment is complete only with every package, its version, and every file", () => {
    const site = mkdtempSync(join(tmpdir(), "lapidary-site-"));
    const problem = (version: string): unknown =>
      runPython(
        `import os, subprocess
from lapidary_xla import environment
script = "import sys; sys.path.insert(0, %r)\\n" % given["site"] + environment.PROBLEM_SCRIPT
found = subprocess.run([sys.executable, "-c", script, "thing", given["version"]], capture_output=True, text=True)
print(json.dumps(found.stderr.strip() if found.returncode else None))`,
        { site, version },
      );
    try {
      strictEqual(problem("1"), "thing is missing");
      mkdirSync(join(site, "thing-1.dist-info"));
      writeFileSync(join(site, "thing-1.dist-info/METADATA"), "Name: thing\nVersion: 1\n");
      writeFileSync(join(site, "thing-1.dist-info/RECORD"), "thing.so,sha256=abc,5\n");
      strictEqual(problem("2"), "thing is 1, the export needs 2");
      strictEqual(problem("1"), "thing.so is missing or incomplete");
      writeFileSync(join(site, "thing.so"), "1234");
      strictEqual(problem("1"), "thing.so is missing or incomplete");
      writeFileSync(join(site, "thing.so"), "12345");
      strictEqual(problem("1"), null);
    } finally {
      rmSync(site, { recursive: true });
    }
  });
});

describe("the reader of the compiler's memory", () => {
  /** `buffer-assignment.txt` of libtpu, shortened. */
  const assignment = `BufferAssignment:
allocation 0: size 1000, page 0, parameter 0, shape |f32[250]| at ShapeIndex {}, maybe-live-out:
 value: <1 param.0 @0> (size=1000,offset=0): f32[250]{0:T(256)}
allocation 1: size 200, page 0, parameter 1, shape |s32[50]| at ShapeIndex {}:
 value: <2 param.1 @0> (size=200,offset=0): s32[50]{0:T(128)}
allocation 2: size 64, page 0, output shape is |(f32[250], f32[])|, maybe-live-out:
 value: <3 tuple.1 @0> (size=64,offset=0): (f32[250]{0}, f32[]{:T(128)})
allocation 3: size 512, page 0, thread-local:
 value: <4 add.1 @0> (size=512,offset=0): f32[]{:T(128)}
allocation 4: size 124, color 2, page 0, preallocated-temp:
 value: <5 fusion.1 @0> (size=124,offset=0): u32[]{:S(2)}
allocation 5: size 7000, page 0, preallocated-temp:
 value: <6 fusion.2 @0> (size=4000,offset=0): f32[1000]{0:T(1024)}
`;

  it("HBM is arguments, outputs and temporaries; other memories of the chip do not count", () => {
    const memory = runPython("from lapidary_xla.tpu_program import tpu_memory\nprint(json.dumps(tpu_memory(given)))", assignment);
    deepStrictEqual(memory, { arguments: 1200, outputs: 1064, aliased: 1000, temporary: 7000 });
  });
});
