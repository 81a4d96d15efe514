"""Parses replica groups in HLO text, in any of three forms."""

from __future__ import annotations

import re
from math import prod


def groups_of(rest: str, devices: int) -> list[list[int]]:
    """
    `{{0,1},{2,3}}`, the iota form `[4,2]<=[2,4]T(1,0)`, or the mesh form `mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'a','b':(1)2}`, where
    device ids are the devices at the positions of the mesh.
    """
    listed = re.search(r"(?:replica_groups|source_target_pairs)=\{((?:\{[\d,]*\},?)*)\}", rest)
    if listed:
        return [list(map(int, group.split(","))) for group in re.findall(r"\{([\d,]+)\}", listed[1])] or [list(range(devices))]
    iota = re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", rest)
    if iota:
        sizes, shape, order = (list(map(int, part.split(","))) if part else None for part in iota.groups())
        return regroup(shape, order or list(range(len(shape))), sizes[1])
    named = re.search(r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\((.*?)\))? \{([^}]*)\}", rest)
    assert named is not None, rest
    groups = mesh_groups(re.findall(r"'(\w+)'=(\d+)", named[1]), re.findall(r"'(\w+)'(?::\((\d+)\)(\d+))?", named[3]))
    if named[2] is None:
        return groups
    tiled = re.fullmatch(r"\[([\d,]+)\]T\(([\d,]+)\)", named[2])
    numbers = lambda text: list(map(int, text.split(",")))  # noqa: E731
    ids = regroup(numbers(tiled[1]), numbers(tiled[2]), devices)[0] if tiled else numbers(named[2])
    return [[ids[at] for at in group] for group in groups]


def mesh_groups(axes: list[tuple[str, str]], chosen: list[tuple[str, str, str]]) -> list[list[int]]:
    """Splits the axes at the borders of the chosen sub-axes; a group consists of the chosen pieces, in their order."""
    pieces: list[tuple[str, int, int]] = []
    for name, size in axes:
        borders = {1, int(size)}
        for _, before, width in (part for part in chosen if part[0] == name and part[1]):
            borders |= {int(before), int(before) * int(width)}
        cuts = sorted(borders)
        pieces += [(name, start, end // start) for start, end in zip(cuts, cuts[1:])]
    sizes = dict(axes)
    within = [
        at
        for name, before, width in chosen
        for at, (axis, start, length) in enumerate(pieces)
        if axis == name and int(before or 1) <= start and start * length <= int(before or 1) * int(width or sizes[name])
    ]
    order = [at for at in range(len(pieces)) if at not in within] + within
    return regroup([length for _, _, length in pieces], order, prod(pieces[at][2] for at in within))


def regroup(shape: list[int], order: list[int], members: int) -> list[list[int]]:
    """Device numbers over `shape`, transposed, in rows of `members`."""
    numbers = [0]
    strides = [prod(shape[at + 1 :]) for at in range(len(shape))]
    for at in order:
        numbers = [number + i * strides[at] for number in numbers for i in range(shape[at])]
    return [numbers[start : start + members] for start in range(0, len(numbers), members)]
