"""Reads the optimized program of a chip as Google's TPU compiler prints it: its collectives, and its estimated cycles."""

from __future__ import annotations

import re

from .groups import groups_of
from .hlo_text import COLLECTIVES, Computation, Instruction, called_computations, is_sliced, name_of, parse, runs_by_computation, shape_bytes
from .mesh import Mesh, moved_bytes


def tpu_collectives(text: str, mesh: Mesh, slices: int) -> list[dict]:
    """
    Each collective once: `{"op", "axes", "bytes", "runs"}`, bytes of one run that a chip sends, and the number of runs in a step.

    An asynchronous collective appears in several computations (its start, its end, and each kernel that it overlaps), all with the same channel.
    Between slices, a collective is a transfer to the host, which the runtime of the data-centre network continues.
    """
    computations, entry = parse(text)
    runs = runs_by_computation(computations, entry)
    fused = {called for scope in computations.values() for value in scope.values() if value.op == "fusion" for called in called_computations(value)}
    rows: dict[str, dict] = {}
    for scope_name, scope in computations.items():
        for value in scope.values():
            row = _network_row(value, mesh, slices) if value.op == "send" else _row(computations, scope, value, mesh, in_kernel=scope_name in fused)
            if row is None:
                continue
            channel = re.search(r"channel_id=(\d+)", value.rest)
            key = channel[1] if channel else f"{scope_name} {value.name}"
            times = runs.get(scope_name, 1)
            if key in rows:
                rows[key]["runs"] = max(rows[key]["runs"], times)
            else:
                rows[key] = {**row, "runs": times}
    return list(rows.values())


def tpu_memory(assignment: str) -> dict[str, int]:
    """
    The HBM of one chip by the compiler's `buffer-assignment.txt`, in bytes: `{"arguments", "outputs", "aliased", "temporary"}`. Allocations with a color
    are in other memories of the chip, and values of a thread are in no allocation of HBM.
    """
    sums = {"arguments": 0, "outputs": 0, "aliased": 0, "temporary": 0}
    for size, kind in re.findall(r"^allocation \d+: size (\d+), (?!color)(?:page \d+, )?(.*)", assignment, re.MULTILINE):
        is_argument, is_output = kind.startswith("parameter "), "maybe-live-out" in kind or kind.startswith("output shape")
        if is_argument:
            sums["arguments"] += int(size)
        if is_output:
            sums["outputs"] += int(size)
        if is_argument and is_output:
            sums["aliased"] += int(size)
        if kind.startswith("preallocated-temp"):
            sums["temporary"] += int(size)
    return sums


def _row(computations: dict[str, Computation], scope: Computation, value: Instruction, mesh: Mesh, *, in_kernel: bool) -> dict | None:
    op = value.op.removesuffix("-start")
    if op not in COLLECTIVES:
        return None
    kind = op.replace("-", "_")
    groups = groups_of(value.rest, mesh.devices)
    members = 1 if kind == "collective_permute" else len(groups[0])
    # The shape of a start is (operands, results, contexts); that of other operations is the result.
    operand = sum(shape_bytes(scope[name].shape) for name in value.operands if name in scope)
    result = operand * members if kind == "all_gather" else operand // members if kind == "reduce_scatter" else operand
    # A kernel that reduces and slices is a reduce-scatter. If another kernel slices, the chips send and receive all of the sum.
    if kind == "all_reduce" and in_kernel and members > 1 and is_sliced(computations, scope, value.name, members):
        kind = "reduce_scatter"
    axes = mesh.axes_of_pairs(groups) if kind == "collective_permute" else mesh.axes_of(groups)
    return {"op": kind, "axes": axes, "bytes": moved_bytes(kind, operand, result, members)}


NETWORK_OPS = {"ALL_REDUCE": "all_reduce", "ALL_GATHER": "all_gather", "REDUCE_SCATTER": "reduce_scatter", "ALL_TO_ALL": "all_to_all", "ONE_TO_ONE": "collective_permute"}


def _network_row(value: Instruction, mesh: Mesh, slices: int) -> dict | None:
    found = re.search(r'_xla_megascale_transfer_type="(\w+)"', value.rest)
    if found is None:
        return None
    kind = NETWORK_OPS.get(found[1], found[1].lower())
    # The shape is (data, context, token).
    operand = shape_bytes(value.shape.removeprefix("(").split(", u32[]")[0])
    result = operand * slices if kind == "all_gather" else operand
    members = 1 if kind == "collective_permute" else slices
    per_slice = mesh.devices // slices
    axes = mesh.axes_of([[slice * per_slice for slice in range(slices)]])
    return {"op": kind, "axes": axes, "bytes": moved_bytes(kind, operand, result, members)}


def tpu_cycles(text: str) -> list[dict]:
    """The cycle estimates of the compiler, per instruction: `{"name", "cycles"}`. The body of a loop is multiplied by its trip count."""
    computations, entry = parse(text)
    rows: list[dict] = []

    def visit(name: str, times: int) -> None:
        for value in computations.get(name, {}).values():
            estimate = re.search(r'"estimated_cycles":"(\d+)"', value.rest)
            if estimate:
                rows.append({"name": name_of(value.rest), "cycles": times * int(estimate[1])})
            if value.op == "while":
                body = re.search(r"body=%?([\w.\-]+)", value.rest)
                trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', value.rest)
                visit(body[1] if body else "", times * int(trips[1] if trips else 1))
            elif value.op in {"call", "conditional"}:
                # The branches do the same on different slices: one of them runs.
                for called in called_computations(value)[:1]:
                    visit(called, times)

    visit(entry, 1)
    return rows
