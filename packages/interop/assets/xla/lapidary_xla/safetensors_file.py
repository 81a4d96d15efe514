"""
Reads and writes safetensors in place: a process accesses only the bytes of its shards.

    8 bytes: length of the header · header: JSON, name → dtype, shape, byte range · arrays, row-major, little-endian
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from .failures import USAGE, Failure, missing_file

DTYPES = {"F32": "<f4", "I32": "<i4", "F16": "<f2", "BF16": "<u2"}


class SafetensorsFile:
    """An existing file. Arrays are memory-mapped views: only indexed elements are read."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        if not path.is_file():
            raise missing_file(path, "a file of arrays", "copy the whole directory, or export the job again")
        self.path = path
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                head = file.read(512)
                _reject_other_kind(head, path)
                length = int.from_bytes(head[:8], "little")
                if length > size - 8:
                    raise ValueError("the header is longer than the file")
                file.seek(8)
                header: dict[str, Any] = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
            header.pop("__metadata__", None)
            _check_tiling(header, size - 8 - length)
        except (ValueError, KeyError, TypeError, AttributeError) as cause:
            raise Failure("LAP_XLA_SAFETENSORS", f"incomplete or invalid safetensors file ({cause})", "copy it again", str(path), USAGE) from cause
        self._entries = header
        self._bytes = np.memmap(path, np.uint8, "r+" if writable else "r")
        self._data = 8 + length

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def view(self, name: str, dims: tuple[int, ...]) -> np.ndarray:
        """The global array, as a view of the file."""
        entry = self._entries.get(name)
        if entry is None:
            raise Failure("LAP_XLA_SAFETENSORS", f"array {name} not found", "use the file that belongs to this export", str(self.path), USAGE)
        if tuple(entry["shape"]) != dims or entry["dtype"] not in DTYPES:
            raise Failure("LAP_XLA_SAFETENSORS", f"{name} is {entry['dtype']}{entry['shape']}, the program expects {list(dims)}", "use the file that belongs to this export", str(self.path), USAGE)
        begin, end = entry["data_offsets"]
        return self._bytes[self._data + begin : self._data + end].view(DTYPES[entry["dtype"]]).reshape(dims)

    def part(self, name: str, dims: tuple[int, ...], index: tuple[slice, ...]) -> np.ndarray:
        """A copy of a slice, with 16-bit floats widened to f32."""
        part = np.array(self.view(name, dims)[index])
        dtype = self._entries[name]["dtype"]
        if dtype == "BF16":
            return (part.astype(np.uint32) << 16).view(np.float32)
        return part.astype(np.float32) if dtype == "F16" else part

    def flush(self) -> None:
        self._bytes.flush()


def _reject_other_kind(head: bytes, path: Path) -> None:
    """Rejects text in place of the file, as of a clone without Git LFS or a rejected download."""
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        size = next((line[5:] for line in head.decode("utf-8", "replace").splitlines() if line.startswith("size ")), "unknown")
        raise Failure("LAP_XLA_SAFETENSORS", f"a Git LFS pointer, not the file itself, which has {size} bytes", "run `git lfs pull` in the clone", str(path), USAGE)
    if not head:
        raise Failure("LAP_XLA_SAFETENSORS", "an empty file", "copy it again", str(path), USAGE)
    words = head[:64].decode("utf-8", "replace")
    if all(character.isprintable() or character.isspace() for character in words):
        raise Failure("LAP_XLA_SAFETENSORS", f"expected arrays, got text that starts with {words!r}", "copy or fetch the file again", str(path), USAGE)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name appears twice")
    return entries


def _check_tiling(header: Mapping[str, Any], size: int) -> None:
    """Checks that the arrays fill the data without gap, overlap or rest, because other bytes would be ignored."""
    at = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        if begin != at or end < begin:
            raise ValueError(f"{name} starts at byte {begin}, expected {at}")
        at = end
    if at > size:
        raise ValueError(f"the file is truncated: it has {size} of {at} bytes of data")
    if at < size:
        raise ValueError(f"{size - at} bytes belong to no array")


def create(path: Path, arrays: Mapping[str, tuple[tuple[int, ...], str]], metadata: Mapping[str, str]) -> None:
    """Creates a file for the arrays (dims and numpy dtype by name), which are zero until they are written."""
    names = {np.dtype(form): name for name, form in DTYPES.items() if name != "BF16"}
    at, header = 0, {"__metadata__": dict(metadata)} if metadata else {}
    for name, (dims, dtype) in arrays.items():
        size = prod(dims) * np.dtype(dtype).itemsize
        header[name] = {"dtype": names[np.dtype(dtype)], "shape": list(dims), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)
