"""`manifest.json`: what the texts take and give, and where their first inputs come from. No JAX here: it is read first of all."""

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
    """An argument or result of the step. `sharding` names mesh axes by dim, major to minor; `model:(1)4` is a part of one."""

    name: str
    dims: tuple[int, ...]
    dtype: str
    sharding: tuple[tuple[str, ...], ...]
    role: str
    """state (carried from step to step), batch, or metric"""
    initial: dict[str, Any] | None = None
    """of a state: where its first value comes from"""


@dataclass(frozen=True)
class Manifest:
    directory: Path
    name: str
    jax: str
    texts: dict[str, str]
    axes: tuple[tuple[str, int], ...]
    dcn_axes: tuple[str, ...]
    """mesh axes that run between pods, over the data-centre network"""
    arguments: tuple[Array, ...]
    results: tuple[Array, ...]
    steps: int
    data: dict[str, Any]
    model: dict[str, Any]
    """config.json of the model, as Hugging Face transformers reads it"""
    extra_files: tuple[str, ...]
    """files that go into every checkpoint, such as the tokenizer's"""

    @property
    def devices(self) -> int:
        return prod(size for _, size in self.axes)

    @property
    def states(self) -> list[Array]:
        return [array for array in self.arguments if array.role == "state"]

    def path(self, name: str, what: str) -> Path:
        """A file of the export, which must be there."""
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
            raise Failure("LAP_XLA_MANIFEST", f"this is {raw['format']} {raw['version']}, not {FORMAT} {VERSION}", "export the job again", str(path), USAGE)
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
        raise Failure("LAP_XLA_MANIFEST", f"the manifest cannot be read ({cause!r})", "export the job again", str(path), USAGE) from cause


def read_array(raw: dict[str, Any]) -> Array:
    sharding = tuple(tuple(axes) for axes in raw["sharding"])
    return Array(raw["name"], tuple(raw["dims"]), raw["dtype"], sharding, raw["role"], raw.get("initial"))
