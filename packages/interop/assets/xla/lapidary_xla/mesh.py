"""Meshes, the axes of replica groups, and the bytes of collectives, by the rules of Lapidary."""

from __future__ import annotations

import re
from math import prod

BYTES = {"f32": 4, "bf16": 2, "i32": 4, "ui32": 4, "i1": 1, "s32": 4, "u32": 4, "pred": 1, "f16": 2, "f64": 8, "i64": 8, "s64": 8, "s8": 1, "u8": 1}


class Mesh:
    """Named axes, major to minor; devices are numbered row-major."""

    def __init__(self, axes: list[tuple[str, int]]) -> None:
        self.axes = axes
        self.sizes = dict(axes)
        self.devices = prod(self.sizes.values())

    @staticmethod
    def of_module(text: str) -> Mesh:
        found = re.search(r"sdy\.mesh @mesh = <\[([^\]]*)\]", text)
        assert found is not None, "the module has a mesh"
        return Mesh([(name, int(size)) for name, size in re.findall(r'"(\w+)"=(\d+)', found[1])])

    def size_of(self, axis: str) -> int:
        """The size of an axis, or of a sub-axis `model:(1)4`."""
        name, _, part = axis.partition(":")
        return int(part.rpartition(")")[2]) if part else self.sizes[name]

    def axes_of(self, groups: list[list[int]]) -> list[str]:
        """The axes and sub-axes along which the members of every group differ, as Lapidary prints them."""
        first = groups[0]
        names: list[str] = []
        stride = self.devices
        for name, size in self.axes:
            stride //= size
            varying, before, rest = [], 1, size
            factor = 2
            while rest > 1:
                if rest % factor != 0:
                    factor += 1
                    continue
                rest //= factor
                if len({device // (stride * rest) % factor for device in first}) == factor:
                    varying.append((before, factor))
                before *= factor
            while varying:
                start, width = varying.pop(0)
                while varying and varying[0][0] == start * width:
                    width *= varying.pop(0)[1]
                names.append(name if width == size else f"{name}:({start}){width}")
        assert prod(self.size_of(name) for name in names) == len(first), (names, first)
        return names

    def axes_of_pairs(self, pairs: list[list[int]]) -> list[str]:
        """The axes along which the source and the target of any pair differ."""
        names: list[str] = []
        stride = self.devices
        for name, size in self.axes:
            stride //= size
            if any(source // stride % size != target // stride % size for source, target in pairs):
                names.append(name)
        return names


def moved_bytes(op: str, operand: int, result: int, members: int) -> float:
    """Bytes that a chip sends for a ring collective, by the same rules as `bytesPerChip` of Lapidary."""
    share = (members - 1) / members
    match op:
        case "all_gather":
            return result * share
        case "reduce_scatter" | "all_to_all":
            return operand * share
        case "all_reduce":
            return 2 * operand * share
        case "collective_permute":
            return float(operand)
    raise AssertionError(op)
