"""
Checkpoints that Lapidary, transformers and this runner read:

    step-100/  config.json  tokenizer.json …                  the model, as Hugging Face has it
               train_state.json                               the step; written last
       either  model.safetensors  optimizer.safetensors       every process writes its shards into these files, on a file system that all share
       or      orbax/params/…  orbax/adam_m/…                 by Orbax, for object stores too: plain Zarr 2, uncompressed, which Lapidary reads
"""

from __future__ import annotations

import json
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np

from .engine import barrier
from .failures import NOT_FOUND, USAGE, Failure, missing_file, say
from .layout import Layout
from .manifest import Array, Manifest
from .safetensors_file import SafetensorsFile, create
from .state import place

PARAMS, STEP = "params/", "step"
WEIGHTS, MOMENTS, STATE, ORBAX = "model.safetensors", "optimizer.safetensors", "train_state.json", "orbax"

States = dict[str, jax.Array]


def chosen_format(wanted: str) -> str:
    if wanted == "auto":
        return "orbax" if find_spec("orbax") is not None else "safetensors"
    if wanted == "orbax" and find_spec("orbax") is None:
        raise Failure("LAP_XLA_ORBAX", "Orbax is not installed", "pip install orbax-checkpoint, or --checkpoint-format safetensors", "--checkpoint-format", USAGE)
    return wanted


def _place_of(name: str) -> tuple[str, str]:
    """File and name of a state in a checkpoint of safetensors."""
    return (WEIGHTS, name.removeprefix(PARAMS)) if name.startswith(PARAMS) else (MOMENTS, name)


def save(manifest: Manifest, directory: Path, step: int, states: States, form: str, keep: int) -> None:
    """Written beside its place and moved there whole. All processes call it."""
    draft, target = directory / f".writing-{step}", directory / f"step-{step}"
    leads = jax.process_index() == 0
    if leads:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
    if form == "orbax":
        _meet(f"orbax {step}")
        _orbax().save((draft / ORBAX).absolute(), states)
    else:
        _save_safetensors(draft, step, states, leads)
    if leads:
        for name in manifest.extra_files:
            shutil.copy(manifest.path(name, "a file of the model"), draft / Path(name).name)
        (draft / "config.json").write_text(json.dumps(manifest.model, indent=2) + "\n")
        (draft / STATE).write_text(json.dumps({"run": manifest.name, "step": step, "time": int(time.time() * 1000)}, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
        for old in checkpoints(directory)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
        say(f"checkpoint {target}")
    _meet(f"checkpoint {step}")


def _save_safetensors(draft: Path, step: int, states: States, leads: bool) -> None:
    named = {name: array for name, array in states.items() if name != STEP}
    if leads:
        for file, metadata in ((WEIGHTS, {"format": "pt"}), (MOMENTS, {})):
            create(draft / file, {_place_of(name)[1]: (array.shape, array.dtype.name) for name, array in named.items() if _place_of(name)[0] == file}, metadata)
    _meet(f"files {step}")
    files = {file: SafetensorsFile(draft / file, writable=True) for file in (WEIGHTS, MOMENTS)}
    for name, array in named.items():
        file, tensor = _place_of(name)
        view = files[file].view(tensor, array.shape)
        for shard in array.addressable_shards:
            if shard.replica_id == 0:
                view[shard.index] = np.asarray(shard.data)
    for file in files.values():
        file.flush()
    _meet(f"shards {step}")


def checkpoints(directory: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    found = [path for path in directory.glob("step-*") if path.name[5:].isdigit() and (path / STATE).is_file()]
    return sorted(found, key=lambda path: int(path.name[5:]))


def find(directory: Path, wanted: str) -> Path:
    """`latest` of the directory, or a path."""
    if wanted != "latest":
        return Path(wanted)
    found = checkpoints(directory)
    if not found:
        raise Failure("LAP_XLA_CHECKPOINT", "there is no checkpoint yet", "run without --restore, or name its directory", str(directory), NOT_FOUND)
    return found[-1]


def restore(manifest: Manifest, layout: Layout, path: Path) -> tuple[int, States]:
    """The step and the states, each process reading only its shards."""
    if not (path / STATE).is_file():
        raise missing_file(path / STATE, "the state of a checkpoint", "name the directory of a whole checkpoint, such as checkpoints/step-100")
    step = int(json.loads((path / STATE).read_text())["step"])
    if (path / ORBAX).is_dir():
        return step, _restore_orbax(manifest, layout, path / ORBAX)
    files = {file: SafetensorsFile(path / file) for file in (WEIGHTS, MOMENTS)}
    _check_names(manifest, files)

    def shard(array: Array, index: tuple[slice, ...]) -> np.ndarray:
        if array.name == STEP:
            return np.float32(step)
        file, tensor = _place_of(array.name)
        return files[file].part(tensor, array.dims, index)

    return step, {array.name: place(layout, array, lambda index, array=array: shard(array, index)) for array in manifest.states}


def _check_names(manifest: Manifest, files: dict[str, SafetensorsFile]) -> None:
    """The files hold the states of the program and no others: what the program has no place for would be dropped."""
    wanted: dict[str, set[str]] = {WEIGHTS: set(), MOMENTS: set()}
    for array in manifest.states:
        if array.name != STEP:
            file, tensor = _place_of(array.name)
            wanted[file].add(tensor)
    for file, names in wanted.items():
        for what, differing in (("lacks", names - files[file].names), ("has, and the program has no place for", files[file].names - names)):
            if differing:
                first, more = sorted(differing)[0], len(differing) - 1
                message = f"{file} {what} {first}{f' and {more} more' if more else ''}"
                raise Failure("LAP_XLA_CHECKPOINT_MISMATCH", message, "use a checkpoint of this job, or export the job of the checkpoint", str(files[file].path), USAGE)


def _restore_orbax(manifest: Manifest, layout: Layout, path: Path) -> States:
    chosen_format("orbax")
    import orbax.checkpoint as ocp

    wanted = {array.name: jax.ShapeDtypeStruct(array.dims, np.float32, sharding=layout.sharding(array)) for array in manifest.states}
    how = {name: ocp.ArrayRestoreArgs(sharding=array.sharding, global_shape=array.shape, dtype=array.dtype) for name, array in wanted.items()}
    try:
        return _orbax().restore(path.absolute(), item=wanted, restore_args=how)
    except (ValueError, KeyError) as cause:
        raise Failure("LAP_XLA_CHECKPOINT_MISMATCH", f"the checkpoint does not fit the program ({cause})", "use a checkpoint of this job", str(path), USAGE) from cause


def _orbax():
    import logging

    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.ERROR)
    return ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_zarr3=False, use_compression=False))


def _meet(name: str) -> None:
    """No process goes on before all are here; a name serves once."""
    if jax.process_count() > 1:
        barrier(f"lapidary {name}")
