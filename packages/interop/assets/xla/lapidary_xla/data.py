"""
Batches, by rows: each process reads only the rows of its devices. The rows equal those of Lapidary's own run: they are a function of (seed,
step, row) and of the token file.

    stream   <bos> T h e │ q u i c k … <eos> <bos> │ …        row r of length T starts at token r·T, targets are shifted by one;
    targets  T h e q       u i c k …         ×                a <bos> is not a target, because it starts another document
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import jax
import numpy as np

from .failures import USAGE, Failure
from .layout import Layout
from .manifest import Manifest
from .numbers import hash_one, permute
from .safetensors_file import SafetensorsFile
from .state import place

Rows = dict[str, np.ndarray]


class Batches(Protocol):
    def rows(self, step: int, start: int, stop: int) -> Rows:
        """Rows [start, stop) of the batch of a step (from 0), by argument name."""


class TokenRows:
    """Rows of a token file, in a different order in each epoch."""

    def __init__(self, manifest: Manifest) -> None:
        data = manifest.data
        self._seed, self._batch, self._seq, self._bos = data["seed"], data["batch"], data["seq"], data["bos"]
        path = manifest.path(data["file"], "the token file")
        self._tokens = np.memmap(path, f"<u{data['bytes_per_token']}", "r")
        if len(self._tokens) != data["tokens"]:
            raise Failure("LAP_XLA_TOKENS", f"the token file has {len(self._tokens)} tokens, expected {data['tokens']}", "copy it again", str(path), USAGE)
        self._epoch_rows = max(1, -(-(len(self._tokens) - 1) // self._seq))

    def rows(self, step: int, start: int, stop: int) -> Rows:
        made = [self._row(step * self._batch + row) for row in range(start, stop)]
        tokens, targets, mask = (np.stack(column) for column in zip(*made, strict=True))
        return {"tokens": tokens, "targets": targets, "mask": mask}

    def _row(self, ordinal: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        epoch, within = divmod(ordinal, self._epoch_rows)
        key = hash_one(hash_one(self._seed & 0xFFFFFFFF, self._seed >> 32), epoch)
        first = permute(within, self._epoch_rows, key) * self._seq
        segment = self._tokens[first : first + self._seq + 1].astype(np.int32)
        tokens, targets, mask = np.zeros(self._seq, np.int32), np.zeros(self._seq, np.int32), np.zeros(self._seq, np.float32)
        count = min(self._seq, len(segment))
        tokens[:count] = segment[:count]
        following = segment[1 : count + 1]
        targets[: len(following)] = following
        mask[: len(following)] = following != self._bos
        return tokens, targets, mask


class FileBatches:
    """Batches as arrays [steps, batch, seq], one for each batch argument of the program; after the last step they repeat."""

    def __init__(self, manifest: Manifest, path: Path) -> None:
        self._file = SafetensorsFile(path)
        self._arrays = [array for array in manifest.arguments if array.role == "batch"]
        self._steps = manifest.data["steps"] if manifest.data["kind"] == "batches" else 1
        self._dims = {array.name: (self._steps, *array.dims) for array in self._arrays}

    def rows(self, step: int, start: int, stop: int) -> Rows:
        at = step % self._steps
        return {name: self._file.part(name, dims, (slice(at, at + 1), slice(start, stop)))[0] for name, dims in self._dims.items()}


class SyntheticRows:
    """Uniform random tokens, to measure speed without a corpus. All targets count."""

    def __init__(self, manifest: Manifest) -> None:
        self._seq = next(array.dims[1] for array in manifest.arguments if array.name == "tokens")
        self._vocab = manifest.model["vocab_size"]
        self._has_segments = any(array.name == "segments" for array in manifest.arguments)

    def rows(self, step: int, start: int, stop: int) -> Rows:
        segments = np.stack([np.random.default_rng([step, row]).integers(0, self._vocab, self._seq + 1, np.int32) for row in range(start, stop)])
        rows = {"tokens": segments[:, :-1].copy(), "targets": segments[:, 1:].copy(), "mask": np.ones((stop - start, self._seq), np.float32)}
        return {**rows, "segments": np.ones((stop - start, self._seq), np.int32)} if self._has_segments else rows


def open_batches(manifest: Manifest, synthetic: bool) -> Batches:
    if synthetic:
        return SyntheticRows(manifest)
    match manifest.data["kind"]:
        case "tokens":
            return TokenRows(manifest)
        case "batches":
            return FileBatches(manifest, manifest.path(manifest.data["file"], "the batches"))
    raise Failure("LAP_XLA_NO_DATA", "the job was exported without data", "run with --synthetic, or export without --no-data", exit_code=USAGE)


def batch_arrays(manifest: Manifest, layout: Layout, batches: Batches, step: int) -> list[jax.Array]:
    """The batch arguments of a step; each shard is built from its own rows."""
    rows = lru_cache(maxsize=None)(lambda start, stop: batches.rows(step, start, stop))

    def shard(name: str, size: int, index: tuple[slice, ...]) -> np.ndarray:
        start, stop, _ = index[0].indices(size)
        return rows(start, stop)[name][(slice(None), *index[1:])]

    return [place(layout, array, lambda index, array=array: shard(array.name, array.dims[0], index)) for array in manifest.arguments if array.role == "batch"]
