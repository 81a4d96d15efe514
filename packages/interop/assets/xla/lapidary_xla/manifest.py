"""Reads `manifest.json`: arguments and results of both modules, and the sources of initial values. Does not import JAX, which may be missing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from .failures import USAGE, Failure, missing_file

FORMAT, VERSION = "lapidary-xla", 1


@dataclass(frozen=True)
class Array:
    """An argument or result of the step. `sharding` lists mesh axes by dim, major to minor; `model:(1)4` is a sub-axis."""

    name: str
    dims: tuple[int, ...]
    dtype: str
    sharding: tuple[tuple[str, ...], ...]
    role: str
    """state (carried from step to step), batch, or metric"""
    initial: dict[str, Any] | None = None
    """of a state: the source of its initial value"""
    parts: tuple[str, ...] | None = None
    """of a stack: the states that a checkpoint has for its slices, in order"""

    @property
    def leading(self) -> int:
        """Leading dims of a stack, which the slices fill; 0 for other arrays."""
        count = 0
        while prod(self.dims[:count]) < len(self.parts or ()):
            count += 1
        return count


@dataclass(frozen=True)
class Manifest:
    directory: Path
    name: str
    jax: str
    texts: dict[str, str]
    axes: tuple[tuple[str, int], ...]
    dcn_axes: tuple[str, ...]
    """mesh axes that run between pods, over the data-center network"""
    arguments: tuple[Array, ...]
    results: tuple[Array, ...]
    steps: int
    data: dict[str, Any]
    model: dict[str, Any]
    """config.json of the model, for Hugging Face transformers"""
    extra_files: tuple[str, ...]
    """files to copy into every checkpoint, such as those of the tokenizer"""

    @property
    def devices(self) -> int:
        return prod(size for _, size in self.axes)

    @property
    def states(self) -> list[Array]:
        return [array for array in self.arguments if array.role == "state"]

    def path(self, name: str, what: str) -> Path:
        """The path of a file of the export, which must exist."""
        path = self.directory / name
        if not path.is_file():
            raise missing_file(path, what, "export the job again, and copy the whole directory")
        return path

    def text(self, which: str) -> str:
        return self.path(self.texts[which], f"the {which} program").read_text()


def read_manifest(directory: Path) -> Manifest:
    path = directory / "manifest.json"
    if not path.is_file():
        raise missing_file(path, "the manifest", "keep run.py in the directory that `lapidary export` wrote")
    try:
        raw = json.loads(path.read_text())
        if raw["format"] != FORMAT or raw["version"] != VERSION:
            raise Failure("LAP_XLA_MANIFEST", f"expected format {FORMAT} {VERSION}, got {raw['format']} {raw['version']}", "export the job again", str(path), USAGE)
        return Manifest(
            directory=directory,
            name=raw["name"],
            jax=raw["jax"],
            texts=raw["texts"],
            axes=tuple((axis["name"], axis["size"]) for axis in raw["mesh"]["axes"]),
            dcn_axes=tuple(raw["mesh"]["dcn_axes"]),
            arguments=tuple(read_array(item) for item in raw["arguments"]),
            results=tuple(read_array(item) for item in raw["results"]),
            steps=raw["steps"],
            data=raw["data"],
            model=raw["model"],
            extra_files=tuple(raw["extra_files"]),
        )
    except (ValueError, KeyError, TypeError) as cause:
        raise Failure("LAP_XLA_MANIFEST", f"invalid manifest ({cause!r})", "export the job again", str(path), USAGE) from cause


def read_array(raw: dict[str, Any]) -> Array:
    sharding = tuple(tuple(axes) for axes in raw["sharding"])
    return Array(raw["name"], tuple(raw["dims"]), raw["dtype"], sharding, raw["role"], raw.get("initial"), tuple(raw["parts"]) if "parts" in raw else None)
