"""The training loop: compiles the module, then computes states and metrics from states and batches, step by step."""

from __future__ import annotations

import json
import re
import time
from argparse import Namespace
from pathlib import Path

import jax
import numpy as np

from . import checkpoint, sockets
from .data import batch_arrays, open_batches
from .engine import compile_text, verify_text
from .failures import USAGE, Failure, log
from .layout import Layout, choose_devices
from .manifest import Array, Manifest
from .state import initial_states

MLIR_TYPES = {"f32": "f32", "bf16": "bf16", "i32": "i32", "pred": "i1"}
DTYPES = {"f32": "float32", "bf16": "bfloat16", "i32": "int32", "pred": "bool"}


def check_text(manifest: Manifest, which: str) -> str:
    """Returns the text of a module, after its dialects verified it and its arguments and results matched the manifest."""
    text, place = manifest.text(which), str(manifest.directory / manifest.texts[which])
    signature = verify_text(text, place)
    for kind, wanted, found in (("argument", manifest.arguments, signature.arguments), ("result", manifest.results, signature.results)):
        types = [f"tensor<{'x'.join([*map(str, array.dims), MLIR_TYPES[array.dtype]])}>" for array in wanted]
        if types != found:
            at = next((i for i, pair in enumerate(zip(types, found)) if pair[0] != pair[1]), min(len(types), len(found)))
            name = wanted[at].name if at < len(wanted) else f"number {at}"
            raise Failure("LAP_XLA_TEXT", f"{kind} {name} of the module differs from the manifest", "export the job again: the files do not belong together", place, USAGE)
    partitions = re.search(r"mhlo.num_partitions = (\d+)", text)
    if partitions is None or int(partitions[1]) != manifest.devices:
        raise Failure("LAP_XLA_TEXT", f"the module is not partitioned for the {manifest.devices} devices of the manifest", "export the job again: the files do not belong together", place, USAGE)
    return text


def train(manifest: Manifest, options: Namespace) -> None:
    text = check_text(manifest, options.text)
    form = checkpoint.chosen_format(options.checkpoint_format)
    devices = choose_devices(manifest, options.devices)
    layout = Layout(manifest.axes, devices)
    batches = open_batches(manifest, options.synthetic)
    folder = Path(options.checkpoint_dir) if options.checkpoint_dir else manifest.directory / "checkpoints"
    if options.restore:
        resumed = checkpoint.find(folder, options.restore)
    else:
        resumed = next(reversed(checkpoint.checkpoints(folder)), None) if options.resume else None

    if resumed is None:
        done, states = 0, dict(zip((array.name for array in manifest.states), initial_states(manifest, layout), strict=True))
    else:
        done, states = checkpoint.restore(manifest, layout, resumed)
        log(f"restored step {done} from {resumed}")

    start = time.monotonic()
    executable = compile_text(text, devices)
    log(f"{options.text} program compiled for {len(devices)} {devices[0].platform} devices in {time.monotonic() - start:.1f} s")
    if jax.process_count() > 1 and devices[0].platform == "cpu":
        sockets.prepare(executable.hlo(), devices)
    if options.memory:
        print(json.dumps(executable.memory()), flush=True)

    state_names = {array.name for array in manifest.states}
    last = done + (manifest.steps - done if options.steps is None else options.steps)

    for step in range(done + 1, last + 1):
        start = time.monotonic()
        arguments = _arguments(manifest, states, batch_arrays(manifest, layout, batches, step - 1))
        if step == done + 1:
            _check_shards(manifest, layout, arguments)
            executable.check(arguments, [array.name for array in manifest.arguments])
        results = dict(zip((array.name for array in manifest.results), executable.run(arguments), strict=True))
        states = {array.name: _global(layout, array, results[array.name]) for array in manifest.results if array.name in state_names}
        metrics = {array.name: float(np.asarray(results[array.name][0])) for array in manifest.results if array.role == "metric" and array.dims == ()}
        if jax.process_index() == 0:
            _report(step, metrics, time.monotonic() - start, options.json)
        if options.checkpoint_every and (step % options.checkpoint_every == 0 or step == last):
            checkpoint.save(manifest, folder, step, states, form, options.keep)


def _arguments(manifest: Manifest, states: dict[str, jax.Array], batch: list[jax.Array]) -> list[jax.Array]:
    rest = iter(batch)
    return [next(rest) if array.role == "batch" else states[array.name] for array in manifest.arguments]


def _global(layout: Layout, array: Array, shards: list[jax.Array]) -> jax.Array:
    return jax.make_array_from_single_device_arrays(array.dims, layout.sharding(array), shards)


def _check_shards(manifest: Manifest, layout: Layout, arguments: list[jax.Array]) -> None:
    for array, given in zip(manifest.arguments, arguments, strict=True):
        local = layout.local_dims(array)
        shapes = {shard.data.shape for shard in given.addressable_shards}
        if given.shape != array.dims or given.dtype.name != DTYPES[array.dtype] or shapes != {local}:
            raise Failure("LAP_XLA_SHARDS", f"{array.name} is {given.dtype.name}{given.shape} in shards {shapes}, the program expects {array.dtype}{array.dims} in {local}", "export the job again", array.name)


def _report(step: int, metrics: dict[str, float], seconds: float, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"step": step, **metrics, "step_ms": round(seconds * 1000, 1)}), flush=True)
    else:
        print(f"{step} {metrics['loss']:.8f}", flush=True)
