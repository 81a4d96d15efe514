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
import re
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path

from common import BYTES, Mesh, moved_bytes

from lapidary_xla.groups import groups_of  # noqa: E402


@dataclass(frozen=True)
class Instruction:
    name: str
    shape: str
    op: str
    inner: str
    """the text between the parentheses: operands, or the number of a parameter"""
    operands: tuple[str, ...]
    rest: str
    """attributes, as text"""


LINE = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (\((?:[^()]|\([^()]*\))*\)|\S+) ([\w\-]+)\(")
COLLECTIVES = {"all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute"}

Computation = dict[str, Instruction]


def parse(text: str) -> tuple[dict[str, Computation], str]:
    """Returns the computations by name, and the name of the entry computation."""
    computations: dict[str, Computation] = {}
    entry, current = "", {}
    for line in text.splitlines():
        head = re.match(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        if head:
            current = computations.setdefault(head[2], {})
            entry = head[2] if head[1] else entry
            continue
        found = LINE.match(line)
        if not found:
            continue
        inner, rest = _parentheses(line[found.end() :])
        current[found[1]] = Instruction(found[1], found[2], found[3], inner, tuple(re.findall(r"%([\w.\-]+)", inner)), rest)
    return computations, entry


def _parentheses(text: str) -> tuple[str, str]:
    """Splits a text at the closing parenthesis."""
    depth = 1
    for at, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return text[:at], text[at + 1 :]
    return text, ""


def shape_bytes(shape: str) -> int:
    """The bytes of an array or a tuple of arrays."""
    return sum(prod(int(size) for size in dims.split(",") if size) * BYTES[kind] for kind, dims in re.findall(r"(\w+)\[([\d,]*)\]", shape))


def is_sliced(computations: dict[str, Computation], scope: Computation, name: str, members: int) -> bool:
    """Whether every use of a value reads only the shard of this device."""
    whole = shape_bytes(scope[name].shape)
    uses = [user for user in scope.values() if name in user.operands]
    for user in uses:
        if user.op == "dynamic-slice" and shape_bytes(user.shape) * members == whole:
            continue
        if user.op in {"bitcast", "copy", "reshape", "transpose"} and is_sliced(computations, scope, user.name, members):
            continue
        if user.op in {"fusion", "call"} and _is_sliced_inside(computations, user, name, members):
            continue
        return False
    return bool(uses)


def _is_sliced_inside(computations: dict[str, Computation], user: Instruction, name: str, members: int) -> bool:
    called = re.search(r"(?:calls|to_apply)=%?([\w.\-]+)", user.rest)
    inner = computations[called[1]] if called else {}
    wanted = {at for at, operand in enumerate(user.operands) if operand == name}
    parameters = [value.name for value in inner.values() if value.op == "parameter" and int(value.inner) in wanted]
    return bool(parameters) and all(is_sliced(computations, inner, parameter, members) for parameter in parameters)


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
            found = re.search(r'op_name="([^"]*)"', value.rest)
            rows.append({"op": kind, "axes": axes, "bytes": moved_bytes(kind, operand, result, members), "name": found[1] if found else value.name})
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
