"""Parses the text of an optimized program: its computations, instructions, and how often each runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from .mesh import BYTES


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


def runs_by_computation(computations: dict[str, Computation], entry: str) -> dict[str, int]:
    """How often a step runs each computation that the entry reaches. The body of a loop runs as often as its trip count says."""
    runs: dict[str, int] = {}

    def visit(name: str, times: int) -> None:
        if name not in computations:
            return
        runs[name] = runs.get(name, 0) + times
        for value in computations[name].values():
            trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', value.rest) if value.op == "while" else None
            for called in called_computations(value):
                visit(called, times * int(trips[1] if trips else 1))

    visit(entry, 1)
    return runs


def called_computations(value: Instruction) -> list[str]:
    """The computations that an instruction runs: body of a loop, branches, and what a fusion, call or asynchronous operation contains."""
    names = re.findall(r"(?:calls|body|to_apply|called_computations)=\{?%?([\w.\-]+)", value.rest)
    branches = re.search(r"branch_computations=\{([^}]*)\}", value.rest)
    return names + (re.findall(r"%?([\w.\-]+)", branches[1]) if branches else [])


def name_of(rest: str, otherwise: str = "") -> str:
    """The location in the module: the name of a value of Lapidary with its id, such as `layers.0.attn.out#141`."""
    found = re.search(r'op_name="([^"]*)"', rest)
    return found[1] if found else otherwise
