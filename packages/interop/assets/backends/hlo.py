#!/usr/bin/env python3
"""
    python hlo.py whole.mlir|chip.mlir

Compiles a module for virtual CPU devices, and reads the optimized program of one device: its collectives, and XLA's memory plan.
JSON on stdout: {"collectives": [{"op", "axes", "bytes", "name"}], "memory": {…bytes}}.

XLA's CPU partitioner writes an all-reduce and a slice instead of the reduce-scatter of a TPU. Such a pair is counted as a reduce_scatter.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from common import Mesh, moved_bytes

from lapidary_xla.groups import groups_of
from lapidary_xla.hlo_text import COLLECTIVES, is_sliced, name_of, parse, shape_bytes


def collectives(text: str, mesh: Mesh) -> list[dict]:
    computations, _ = parse(text)
    rows = []
    for scope in computations.values():
        for value in scope.values():
            op = value.op.removesuffix("-start")
            if op not in COLLECTIVES:
                continue
            kind = op.replace("-", "_")
            groups = groups_of(value.rest, mesh.devices)
            members = 1 if kind == "collective_permute" else len(groups[0])
            operand = sum(shape_bytes(scope[name].shape) for name in value.operands)
            if kind == "all_reduce" and members > 1 and is_sliced(computations, scope, value.name, members):
                kind = "reduce_scatter"
            result = operand * members if kind == "all_gather" else operand
            axes = [] if kind == "collective_permute" else mesh.axes_of(groups)
            rows.append({"op": kind, "axes": axes, "bytes": moved_bytes(kind, operand, result, members), "name": name_of(value.rest, value.name)})
    return rows


def compile_report(text: str) -> dict:
    mesh = Mesh.of_module(text)
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={mesh.devices} --xla_disable_hlo_passes=cpu-all-reduce-combiner".strip()
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import jax
    from lapidary_xla.engine import compile_text

    executable = compile_text(text, jax.devices()[: mesh.devices])
    return {"collectives": collectives(executable.hlo(), mesh), "memory": executable.memory()}


if __name__ == "__main__":
    print(json.dumps(compile_report(Path(sys.argv[1]).read_text())))
