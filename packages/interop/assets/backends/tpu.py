#!/usr/bin/env python3
"""
    python tpu.py step.mlir --topology v5e:16x16 [--slices 2] [--hlo FILE]

Compiles a module with Google's TPU compiler (libtpu) without a TPU, and prints the plan of one chip as JSON:

    {"compiler", "topology", "slices", "devices", "compile_s",
     "memory": {"arguments", "outputs", "aliased", "temporary", "code"},      bytes
     "collectives": [{"op", "axes", "bytes", "name"}],                        bytes that a chip sends
     "cycles": [{"name", "op", "cycles"}]}                                    estimated, one entry per fused kernel or instruction

If the program does not fit: {"compiler", …, "does_not_fit": {"used", "limit", "buffers": [{"bytes", "name", "shape"}]}}.
`name` is the location that the export writes into the module: `layers.0.attn.out#141`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

from common import BYTES, Mesh, moved_bytes

from hlo import COLLECTIVES, is_sliced, parse, shape_bytes
from lapidary_xla.failures import USAGE, Failure
from lapidary_xla.groups import groups_of

UNITS = {"B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def topology_devices(name: str, slices: int) -> list:
    """The devices of a topology, which need not exist on this machine."""
    from jax.experimental import topologies

    options = {"num_slices": slices} if slices > 1 else {}
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=name, **options).devices
    except Exception as cause:  # noqa: BLE001: libtpu raises any exception
        raise Failure("LAP_TPU_TOPOLOGY", f"unknown topology {name} with {slices} slices: {_first_line(cause)}", "choose a slice that exists for the chip, such as 4x4, 8x8 or 16x16 for v5e", name, USAGE) from cause


def compile_for(text: str, devices: list):
    """The compiled program of one chip. With several slices, device ids start at 100000; the assignment uses these ids."""
    import numpy as np
    from jax._src import compiler
    from jax._src.lib import xla_client
    from jax.extend.mlir import ir
    from lapidary_xla.engine import dialects

    with dialects():
        module = ir.Module.parse(text)
        ids = np.array([device.id for device in devices]).reshape(1, -1)
        client = devices[0].client
        options = compiler.get_compile_options(num_replicas=1, num_partitions=len(devices), device_assignment=ids, backend=client)
        options.executable_build_options.use_spmd_partitioning = True
        options.executable_build_options.use_shardy_partitioner = True
        return compiler.backend_compile_and_load(client, module, xla_client.DeviceList(tuple(devices)), options, [])


def tpu_collectives(text: str, mesh: Mesh) -> list[dict]:
    """
    Lists each collective once. An asynchronous collective appears in several computations (its start, its end, and each kernel that it overlaps), all with
    the same channel.
    """
    computations, _ = parse(text)
    rows, seen = [], set()
    for scope in computations.values():
        for value in scope.values():
            op = value.op.removesuffix("-start")
            if op not in COLLECTIVES:
                continue
            channel = re.search(r"channel_id=(\d+)", value.rest)
            key = channel[1] if channel else f"{id(scope)} {value.name}"
            if key in seen:
                continue
            seen.add(key)
            rows.append(_collective(computations, scope, value, op.replace("-", "_"), mesh))
    return rows


def _collective(computations, scope, value, kind: str, mesh: Mesh) -> dict:
    groups = groups_of(value.rest, mesh.devices)
    members = 1 if kind == "collective_permute" else len(groups[0])
    result = shape_bytes(value.shape)
    operand = result // members if kind == "all_gather" else result * members if kind == "reduce_scatter" else result
    if kind == "all_reduce" and members > 1 and is_sliced(computations, scope, value.name, members):
        kind = "reduce_scatter"
    axes = [] if kind == "collective_permute" else mesh.axes_of(groups)
    return {"op": kind, "axes": axes, "bytes": moved_bytes(kind, operand, result, members), "name": _name_of(value.rest, value.name)}


def cycles(text: str) -> list[dict]:
    """The cycle estimates of the compiler, per instruction; the body of a loop is multiplied by its trip count."""
    computations, entry = parse(text)
    rows: list[dict] = []

    def visit(name: str, times: int) -> None:
        for value in computations.get(name, {}).values():
            estimate = re.search(r'"estimated_cycles":"(\d+)"', value.rest)
            if estimate:
                kind = re.search(r"kind=k(\w+)", value.rest)
                op = f"{kind[1].lower()} fusion" if kind else value.op
                rows.append({"name": _name_of(value.rest, value.name), "op": op, "cycles": times * int(estimate[1])})
            if value.op == "while":
                body = re.search(r"body=%?([\w.\-]+)", value.rest)
                trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', value.rest)
                if body:
                    visit(body[1], times * int(trips[1] if trips else 1))

    visit(entry, 1)
    return rows


def does_not_fit(message: str) -> dict | None:
    """
    Parses the compiler's out-of-memory message in either form: `Used 20.01G of 15.75G hbm`, followed by the largest buffers with the names in the
    module; or `the total memory required for HLO temporaries (26.34G) exceeds available HBM (15.75G)`.
    """
    number = r"([\d.]+)([BKMGT]?)"
    found = re.search(rf"Used {number} of {number} hbm", message) or re.search(rf"required for [\w ]+ \({number}\) exceeds available HBM \({number}\)", message)
    if not found:
        return None
    size = lambda number, unit: round(float(number) * UNITS[unit or "B"])  # noqa: E731
    buffers = [
        {"bytes": size(part[1], part[2]), "name": name[1] if (name := re.search(r'op_name="([^"]*)"', part[0])) else "", "shape": shape[1] if (shape := re.search(r"Shape: (\S+?)[{\s]", part[0])) else ""}
        for part in re.finditer(r"Size: ([\d.]+)([BKMGT]?)\b(?:(?!Size:)[\s\S])*", message)
    ]
    return {"used": size(found[1], found[2]), "limit": size(found[3], found[4]), "buffers": buffers}


def _name_of(rest: str, otherwise: str) -> str:
    found = re.search(r'op_name="([^"]*)"', rest)
    return found[1] if found else otherwise


def _first_line(cause: object) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:400]


def compile_report(path: Path, topology: str, slices: int, hlo_path: Path | None) -> dict:
    os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # do not query the metadata server, which only a cloud machine has
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from importlib.metadata import version

    text = path.read_text()
    mesh = Mesh.of_module(text)
    about = {"compiler": f"libtpu {version('libtpu')}", "topology": topology, "slices": slices}
    devices = topology_devices(topology, slices)
    if len(devices) != mesh.devices:
        raise Failure("LAP_TPU_TOPOLOGY", f"{topology} with {slices} slices has {len(devices)} chips, the program needs {mesh.devices}", "choose the slice of the program", topology, USAGE)
    start = time.monotonic()
    try:
        executable = compile_for(text, devices)
    except Exception as cause:  # noqa: BLE001
        short = does_not_fit(str(cause))
        if short is None:
            raise Failure("LAP_TPU_COMPILE", f"the TPU compiler rejects the program: {_first_line(cause)}", "compile the other module (`--text chip` or `whole`); if it rejects both, report it with the export", str(path)) from cause
        return {**about, "devices": len(devices), "compile_s": time.monotonic() - start, "does_not_fit": short}
    stats = executable.get_compiled_memory_stats()
    hlo = executable.hlo_modules()[0].to_string()
    if hlo_path is not None:
        hlo_path.write_text(hlo)
    return {
        **about,
        "devices": len(devices),
        "compile_s": time.monotonic() - start,
        "memory": {
            "arguments": stats.argument_size_in_bytes,
            "outputs": stats.output_size_in_bytes,
            "aliased": stats.alias_size_in_bytes,
            "temporary": stats.temp_size_in_bytes,
            "code": stats.generated_code_size_in_bytes,
        },
        "collectives": tpu_collectives(hlo, mesh),
        "cycles": cycles(hlo),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="tpu.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--topology", required=True)
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--hlo", type=Path)
    options = parser.parse_args()
    # Reserve stdout for the result: the output of libtpu goes to stderr.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        json.dump(compile_report(options.text, options.topology, options.slices, options.hlo), results)
        results.flush()
    except Failure as failure:
        failure.report()
        return failure.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Threads of libtpu may hang at exit.
    os._exit(code)
