"""The initial state of a run, shard by shard: read from files, or drawn from the init specs in the manifest."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from .failures import USAGE, Failure
from .layout import Layout
from .manifest import Array, Manifest
from .numbers import normal
from .safetensors_file import SafetensorsFile

Index = tuple[slice, ...]


def initial_states(manifest: Manifest, layout: Layout) -> list[jax.Array]:
    files: dict[Path, SafetensorsFile] = {}

    def opened(name: str) -> SafetensorsFile:
        path = manifest.path(name, "a file of initial states")
        if path not in files:
            files[path] = SafetensorsFile(path)
        return files[path]

    def shard(array: Array, index: Index) -> np.ndarray:
        source = array.initial or {}
        match source.get("kind"):
            case "zeros":
                return np.zeros(_size(array.dims, index), np.float32)
            case "ones":
                return np.ones(_size(array.dims, index), np.float32)
            case "normal":
                return _normal(source, array.dims, index)
            case "file":
                return opened(source["file"]).part(source["tensor"], array.dims, index)
            case other:
                raise Failure("LAP_XLA_MANIFEST", f"unknown initial value {other!r} of {array.name}", "use the run.py of the same export", exit_code=USAGE)

    return [place(layout, array, lambda index, array=array: shard(array, index)) for array in manifest.states]


def place(layout: Layout, array: Array, shard) -> jax.Array:
    """Builds an array over the mesh: calls `shard(index)` once for each distinct shard of this process."""
    shards: dict[tuple, np.ndarray] = {}

    def part(index: Index) -> np.ndarray:
        key = tuple((piece.start, piece.stop) for piece in index)
        if key not in shards:
            shards[key] = shard(index)
        return shards[key]

    return jax.make_array_from_callback(array.dims, layout.sharding(array), part)


def _normal(source: dict, dims: tuple[int, ...], index: Index) -> np.ndarray:
    """Normal numbers; a stack has a key for each of its slices."""
    flat = _flat(dims, index)
    keys = source.get("keys", [source["key"]])
    in_slice = int(np.prod(dims)) // len(keys)
    result = np.empty(flat.shape, np.float32)
    for number, key in enumerate(keys):
        of_slice = flat // in_slice == number
        result[of_slice] = normal(key, flat[of_slice] - number * in_slice, source["scale"])
    return result


def _ranges(dims: tuple[int, ...], index: Index) -> list[range]:
    return [range(*piece.indices(size)) for piece, size in zip(index, dims, strict=True)]


def _size(dims: tuple[int, ...], index: Index) -> tuple[int, ...]:
    return tuple(len(piece) for piece in _ranges(dims, index))


def _flat(dims: tuple[int, ...], index: Index) -> np.ndarray:
    """Row-major positions of the elements of a shard in the global array."""
    flat = np.zeros((), np.int64)
    for piece, size in zip(_ranges(dims, index), dims, strict=True):
        flat = flat[..., None] * size + np.arange(piece.start, piece.stop, dtype=np.int64)
    return flat
