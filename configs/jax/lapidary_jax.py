"""
Exports a train step of a JAX program for Lapidary. Copy this file next to your program; it needs only JAX.

    from lapidary_jax import save
    save("step.mlir", step, state, *batch)

`step(state, *batch) -> (state, metrics)` may be a function or a jitted function. The result is

    step.mlir           StableHLO with locations: `lapidary explain`, `plan` and `launch` read it
    step.safetensors    the state and the batch: `lapidary launch step.mlir inputs=step.safetensors`

No TPU is needed. Shardings for a mesh that this machine does not have come from `jax.sharding.AbstractMesh`, or from
`XLA_FLAGS=--xla_force_host_platform_device_count=N`.
"""

from __future__ import annotations

import inspect
import json
import struct
from pathlib import Path
from typing import Any, Callable, Iterable

import jax
import numpy as np

_TYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16", "int32": "I32", "uint32": "U32", "bool": "BOOL"}
_TYPES |= {"int8": "I8", "uint8": "U8", "int16": "I16", "uint16": "U16"}


def save(path: str, step: Callable, state: Any, *batch: Any, batches: Iterable[tuple] | None = None, platform: str = "tpu") -> None:
    """
    Writes the step, and the arrays of its arguments unless they are abstract (`jax.ShapeDtypeStruct`).

    batches     the batches of several steps, each a tuple like `batch`; by default `batch` alone
    platform    what the step is lowered for: "tpu", or "cpu" for a step that is written for CPUs alone
    """
    file = Path(path)
    # The first argument is donated, so that each leaf of the new state takes over the buffer of the old one.
    jitted = step if hasattr(step, "lower") else jax.jit(step, donate_argnums=0)
    lowered = jitted.trace(state, *batch).lower(lowering_platforms=(platform,))
    file.write_text(lowered.as_text(debug_info=True))

    names = _argument_names(getattr(step, "__wrapped__", step), 1 + len(batch))
    arrays = {f"in/{name}": leaf for name, leaf in _leaves(names[0], state)}
    for number, values in enumerate([batch] if batches is None else batches):
        for name, value in zip(names[1:], values, strict=True):
            arrays.update({f"batch/{number}/{leaf}": array for leaf, array in _leaves(name, value)})
    if not any(isinstance(array, jax.ShapeDtypeStruct) for array in arrays.values()):
        _write_safetensors(file.with_suffix(".safetensors"), arrays)


def _argument_names(function: Callable, count: int) -> list[str]:
    """The names that JAX gives to the arguments: those of the parameters, `batch[0]` for the values of `*batch`."""
    names: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        else:
            names.append(parameter.name)
    return names[:count]


def _leaves(name: str, tree: Any) -> list[tuple[str, Any]]:
    """The leaves of a tree by their names in the text: `state['w']`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(name + jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def _array(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    # As JAX does without 64-bit types.
    narrow = {"float64": np.float32, "int64": np.int32, "uint64": np.uint32}.get(array.dtype.name)
    return array if narrow is None else array.astype(narrow)


def _write_safetensors(path: Path, leaves: dict[str, Any]) -> None:
    header, parts, at = {}, [], 0
    for name, leaf in leaves.items():
        array = _array(leaf)
        dtype = _TYPES.get(array.dtype.name)
        if dtype is None:
            raise TypeError(f"{name} has the type {array.dtype}; Lapidary reads {', '.join(_TYPES)}")
        data = array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))
