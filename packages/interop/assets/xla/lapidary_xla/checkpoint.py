"""
Checkpoints that Lapidary, transformers and this runner can read:

    step-100/  config.json  tokenizer.json …                  the model, in Hugging Face format
               train_state.json                               the step; written last
       either  model.safetensors  optimizer.safetensors       every process writes its shards into these files, on a shared file system
       or      orbax/params/…  orbax/adam_m/…                 by Orbax, for object stores too: uncompressed Zarr 2, which Lapidary reads
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from .engine import barrier
from .failures import NOT_FOUND, USAGE, Failure, log, missing_file
from .layout import Layout
from .manifest import Array, Manifest
from .safetensors_file import SafetensorsFile, create
from .state import place

PARAMS, STEP = "params/", "step"
WEIGHTS, MOMENTS, STATE, ORBAX = "model.safetensors", "optimizer.safetensors", "train_state.json", "orbax"

States = dict[str, jax.Array]


def chosen_format(requested: str) -> str:
    if requested == "auto":
        return "orbax" if find_spec("orbax") is not None else "safetensors"
    if requested == "orbax" and find_spec("orbax") is None:
        raise Failure("LAP_XLA_ORBAX", "Orbax is not installed", "pip install orbax-checkpoint, or --checkpoint-format safetensors", "--checkpoint-format", USAGE)
    return requested


def _parts_of(array: Array) -> list[tuple[tuple[int, ...], str]]:
    """The states of a checkpoint that hold an array, each with its index in the leading dims: the array itself, or the slices of a stack."""
    if array.parts is None:
        return [((), array.name)]
    return list(zip(np.ndindex(*array.dims[: array.leading]), array.parts, strict=True))


def _location_of(name: str) -> tuple[str, str]:
    """The file of a state in a safetensors checkpoint, and its name there."""
    return (WEIGHTS, name.removeprefix(PARAMS)) if name.startswith(PARAMS) else (MOMENTS, name)


def _slices_in(array: Array, index: tuple[slice, ...]) -> list[tuple[tuple[int, ...], str]]:
    """The slices of a stack that a shard has a part of: the index in the shard, and the state."""
    ranges = [range(*piece.indices(size)) for piece, size in zip(index, array.dims[: array.leading])]
    return [(tuple(at - r.start for at, r in zip(place, ranges)), name) for place, name in _parts_of(array) if all(at in r for at, r in zip(place, ranges))]


def save(manifest: Manifest, directory: Path, step: int, states: States, form: str, keep: int) -> None:
    """Writes a checkpoint into a staging directory, then renames it. All processes call this function."""
    staging, target = directory / f".writing-{step}", directory / f"step-{step}"
    is_first = jax.process_index() == 0
    if is_first:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
    if form == "orbax":
        _barrier(f"orbax {step}")
        _orbax().save((staging / ORBAX).absolute(), _unstacked(manifest, states))
    else:
        _save_safetensors(manifest, staging, step, states, is_first)
    if is_first:
        for name in manifest.extra_files:
            shutil.copy(manifest.path(name, "a file of the model"), staging / Path(name).name)
        (staging / "config.json").write_text(json.dumps(manifest.model, indent=2) + "\n")
        (staging / STATE).write_text(json.dumps({"run": manifest.name, "step": step, "time": int(time.time() * 1000)}, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
        for old in checkpoints(directory)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
        log(f"checkpoint {target}")
    _barrier(f"checkpoint {step}")


def _unstacked(manifest: Manifest, states: States) -> States:
    """The states of a checkpoint: a stack as its slices."""
    return {name: states[array.name][place] if place else states[array.name] for array in manifest.states for place, name in _parts_of(array)}


def _save_safetensors(manifest: Manifest, staging: Path, step: int, states: States, is_first: bool) -> None:
    arrays = [array for array in manifest.states if array.name != STEP]
    if is_first:
        shapes = {name: (array.dims[array.leading :], states[array.name].dtype.name) for array in arrays for _, name in _parts_of(array)}
        for file, metadata in ((WEIGHTS, {"format": "pt"}), (MOMENTS, {})):
            create(staging / file, {_location_of(name)[1]: (dims, dtype) for name, (dims, dtype) in shapes.items() if _location_of(name)[0] == file}, metadata)
    _barrier(f"files {step}")
    files = {file: SafetensorsFile(staging / file, writable=True) for file in (WEIGHTS, MOMENTS)}
    for array in arrays:
        for shard in states[array.name].addressable_shards:
            if shard.replica_id != 0:
                continue
            data = np.asarray(shard.data)
            for place, name in _slices_in(array, shard.index):
                file, tensor = _location_of(name)
                files[file].view(tensor, array.dims[array.leading :])[shard.index[array.leading :]] = data[place]
    for file in files.values():
        file.flush()
    _barrier(f"shards {step}")


def checkpoints(directory: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [path for path in directory.glob("step-*") if path.name[5:].isdigit() and (path / STATE).is_file()]
    return sorted(found, key=lambda path: int(path.name[5:]))


def find(directory: Path, requested: str) -> Path:
    """The latest checkpoint of the directory if `latest` is requested, otherwise the requested path."""
    if requested != "latest":
        return Path(requested)
    found = checkpoints(directory)
    if not found:
        raise Failure("LAP_XLA_CHECKPOINT", "no checkpoint found", "run without --restore, or give the directory of a checkpoint", str(directory), NOT_FOUND)
    return found[-1]


def restore(manifest: Manifest, layout: Layout, path: Path) -> tuple[int, States]:
    """Returns the step and the states; each process reads only its shards."""
    if not (path / STATE).is_file():
        raise missing_file(path / STATE, "the state of a checkpoint", "give the directory of a complete checkpoint, such as checkpoints/step-100")
    step = int(json.loads((path / STATE).read_text())["step"])
    if (path / ORBAX).is_dir():
        return step, _restore_orbax(manifest, layout, path / ORBAX)
    files = {file: SafetensorsFile(path / file) for file in (WEIGHTS, MOMENTS)}
    _check_names(manifest, files)

    def shard(array: Array, index: tuple[slice, ...]) -> np.ndarray:
        if array.name == STEP:
            return np.float32(step)
        dims = array.dims[array.leading :]
        located = [_location_of(name) for _, name in _slices_in(array, index)]
        parts = [files[file].part(tensor, dims, index[array.leading :]) for file, tensor in located]
        if array.parts is None:
            return parts[0]
        leading = [len(range(*piece.indices(size))) for piece, size in zip(index, array.dims[: array.leading])]
        return np.stack(parts).reshape(*leading, *parts[0].shape)

    return step, {array.name: place(layout, array, lambda index, array=array: shard(array, index)) for array in manifest.states}


def _check_names(manifest: Manifest, files: dict[str, SafetensorsFile]) -> None:
    """Checks that the files contain exactly the states of the program, because other states would be ignored."""
    expected: dict[str, set[str]] = {WEIGHTS: set(), MOMENTS: set()}
    for array in manifest.states:
        if array.name != STEP:
            for _, name in _parts_of(array):
                file, tensor = _location_of(name)
                expected[file].add(tensor)
    for file, names in expected.items():
        for what, differing in (("lacks", names - files[file].names), ("contains, and the program has no state for,", files[file].names - names)):
            if differing:
                first, more = sorted(differing)[0], len(differing) - 1
                message = f"{file} {what} {first}{f' and {more} more' if more else ''}"
                raise Failure("LAP_XLA_CHECKPOINT_MISMATCH", message, "use a checkpoint of this job, or export the job of the checkpoint", str(files[file].path), USAGE)


def _restore_orbax(manifest: Manifest, layout: Layout, path: Path) -> States:
    chosen_format("orbax")
    import orbax.checkpoint as ocp

    expected = {name: jax.ShapeDtypeStruct(array.dims[array.leading :], np.float32, sharding=_slice_sharding(layout, array)) for array in manifest.states for _, name in _parts_of(array)}
    restore_args = {name: ocp.ArrayRestoreArgs(sharding=array.sharding, global_shape=array.shape, dtype=array.dtype) for name, array in expected.items()}
    try:
        restored = _orbax().restore(path.absolute(), item=expected, restore_args=restore_args)
    except (ValueError, KeyError) as cause:
        raise Failure("LAP_XLA_CHECKPOINT_MISMATCH", f"the checkpoint does not match the program ({cause})", "use a checkpoint of this job", str(path), USAGE) from cause
    return {array.name: _stacked(layout, array, [restored[name] for _, name in _parts_of(array)]) for array in manifest.states}


def _slice_sharding(layout: Layout, array: Array) -> jax.sharding.Sharding:
    """The sharding of a slice of a stack: that of the stack, without its leading dims."""
    return layout.sharding(replace(array, dims=array.dims[array.leading :], sharding=array.sharding[array.leading :], parts=None))


def _stacked(layout: Layout, array: Array, slices: list[jax.Array]) -> jax.Array:
    if array.parts is None:
        return slices[0]
    return jax.jit(lambda *parts: jnp.stack(parts).reshape(array.dims), out_shardings=layout.sharding(array))(*slices)


def _orbax():
    import logging

    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.ERROR)
    return ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=False, use_compression=False))


def _barrier(name: str) -> None:
    """Waits until all processes have called it with this name; each name is used once."""
    if jax.process_count() > 1:
        barrier(f"lapidary {name}")
