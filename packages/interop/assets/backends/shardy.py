#!/usr/bin/env python3
"""
    python shardy.py whole.mlir

Runs Shardy's passes on a global module: prints the sharding of every value, and the collectives that Shardy would insert. Nothing is compiled.
JSON on stdout: {"shardings": {value id: [[axes] by dim]}, "collectives": [{"op", "axes", "bytes", "name"}]}.
"""

from __future__ import annotations

import json
import re
import sys
from math import prod
from pathlib import Path

from common import BYTES, Mesh, moved_bytes

from jaxlib.mlir.passmanager import PassManager  # noqa: E402
from lapidary_xla.engine import dialects, ir  # noqa: E402

PROPAGATE = "sdy-propagation-pipeline"
INSERT = "func.func(sdy-insert-explicit-reshards{enable-full-version=true}, sdy-reshard-to-collectives)"
# Folds an all-reduce and a slice of its result into a reduce-scatter.
FOLD = "canonicalize"

AXES = re.compile(r'"(\w+)"(?::(\(\d+\)\d+))?')


def axis_names(text: str) -> list[str]:
    """`{"data", "model":(1)4}` → axis names as Lapidary prints them."""
    return [f"{name}:{part}" if part else name for name, part in AXES.findall(text)]


def dims_of(sharding: str) -> list[list[str]]:
    """`<@mesh, [{"data"}, {?}]>` → axes by dim."""
    found = re.search(r"\[(.*?)\](?:, (?:replicated|unreduced)=.*)?>", sharding)
    return [axis_names(dim) for dim in re.findall(r"\{([^}]*)\}", found[1] if found else "")]


def name_of(op) -> str:
    found = re.search(r'loc\("([^"]*)"', str(op.location))
    return found[1] if found else op.name


def type_bytes(kind: str) -> int:
    found = re.fullmatch(r"tensor<((?:\d+x)*)(\w+)>", kind)
    assert found is not None, kind
    return prod(int(size) for size in found[1].split("x") if size) * BYTES[found[2]]


def run(text: str, passes: list[str]):
    module = ir.Module.parse(text)
    PassManager.parse(f"builtin.module({', '.join(passes)})").run(module.operation)
    return module


def main_operations(module):
    main = next(op for op in module.body.operations if op.operation.name == "func.func" and op.name.value == "main")
    return [op.operation for op in main.regions[0].blocks[0].operations]


def shardings(module) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for op in main_operations(module):
        name, _, number = name_of(op).rpartition("#")
        if name and number.isdigit() and len(op.results) == 1:
            # A value of Lapidary may become several operations; the last one is the value. Without a sharding attribute it is replicated.
            attribute = "sharding" if op.name.startswith("sdy.") else "sdy.sharding"
            rank = str(op.results[0].type).count("x")
            found[number] = dims_of(str(op.attributes[attribute])) if attribute in op.attributes else [[]] * rank
    return found


ATTRIBUTES = {"all_gather": "gathering_axes", "all_reduce": "reduction_axes", "reduce_scatter": "reduce_scatter_axes", "all_to_all": "params"}


def collectives(module, mesh: Mesh) -> list[dict]:
    rows = []
    for op in main_operations(module):
        kind = op.name.removeprefix("sdy.")
        if not op.name.startswith("sdy.") or kind not in {*ATTRIBUTES, "collective_permute"}:
            continue
        out = [axis for dim in dims_of(str(op.attributes["out_sharding"])) for axis in dim]
        local = type_bytes(str(op.results[0].type)) // prod(mesh.size_of(axis) for axis in out)
        axes = axis_names(str(op.attributes[ATTRIBUTES[kind]])) if kind in ATTRIBUTES else out
        members = prod(mesh.size_of(axis) for axis in axes)
        operand = {"all_gather": local // members, "reduce_scatter": local * members}.get(kind, local)
        rows.append({"op": kind, "axes": axes, "bytes": moved_bytes(kind, operand, local, members), "name": name_of(op)})
    return rows


def compile_report(text: str) -> dict:
    mesh = Mesh.of_module(text)
    with dialects():
        propagated = shardings(run(text, [PROPAGATE]))
        return {"shardings": propagated, "collectives": collectives(run(text, [PROPAGATE, INSERT, FOLD]), mesh)}


if __name__ == "__main__":
    print(json.dumps(compile_report(Path(sys.argv[1]).read_text())))
