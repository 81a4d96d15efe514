"""Converts shardings by mesh axis names to JAX shardings on devices."""

from __future__ import annotations

import re
from math import prod
from typing import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .failures import DOES_NOT_FIT, Failure
from .manifest import Array, Manifest


class Layout:
    """
    A JAX mesh whose axes are the prime factors of Lapidary's axes, major to minor, so that every sub-axis consists of whole axes:

        model=16  →  model_1 model_2 model_4 model_8, of size 2 each;  model:(1)4 = (model_1, model_2)
    """

    def __init__(self, axes: Sequence[tuple[str, int]], devices: Sequence[jax.Device]) -> None:
        self.devices = list(devices)
        self.axes = dict(axes)
        self.atoms = {name: list(_atoms(size)) for name, size in axes}
        names = [f"{name}_{before}" for name, _ in axes for before, _ in self.atoms[name]]
        sizes = [size for name, _ in axes for _, size in self.atoms[name]]
        self.mesh = Mesh(np.array(self.devices, dtype=object).reshape(sizes or [1]), names or ["all"])

    def sharding(self, array: Array) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*(self._split(axes) for axes in array.sharding)))

    def local_dims(self, array: Array) -> tuple[int, ...]:
        return tuple(size // prod(self.mesh.shape[name] for name in self._split(axes)) for size, axes in zip(array.dims, array.sharding, strict=True))

    def _split(self, axes: Sequence[str]) -> tuple[str, ...]:
        names: list[str] = []
        for text in axes:
            axis, before, size = re.fullmatch(r"([a-z][a-z0-9_]*)(?::\((\d+)\)(\d+))?", text).groups()
            first = int(before or 1)
            end = first * int(size or self.axes[axis])
            names += [f"{axis}_{place}" for place, _ in self.atoms[axis] if first <= place < end]
        return tuple(names)


def _atoms(size: int):
    """Yields the prime factors, each with the product of the previous ones."""
    before, factor = 1, 2
    while size > 1:
        while size % factor == 0:
            yield before, factor
            before, size = before * factor, size // factor
        factor += 1


def choose_devices(manifest: Manifest, wanted: str) -> list[jax.Device]:
    """The devices, in the order of the chips of the mesh. Their number must be that of the program."""
    devices = jax.devices()
    needed = manifest.devices
    count = len(devices) if wanted == "all" else int(wanted)
    mesh = ",".join(f"{name}={size}" for name, size in manifest.axes)
    if count != needed or len(devices) < needed:
        raise Failure(
            "LAP_XLA_DEVICES",
            f"the program is made for {needed} devices ({mesh}), {count} are requested and {len(devices)} {devices[0].platform} devices are available",
            f"run with --devices {needed}, or export the job with a mesh of {count} chips",
            f"--devices {wanted}",
            DOES_NOT_FIT,
        )
    if len(devices) > needed:
        if jax.process_count() > 1:
            raise Failure("LAP_XLA_DEVICES", f"{jax.process_count()} processes have {len(devices)} devices, the program needs {needed}", "start fewer processes", exit_code=DOES_NOT_FIT)
        devices = devices[:needed]
    return arrange(manifest, devices)


def arrange(manifest: Manifest, devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Orders TPU devices so that neighbors along a mesh axis are neighbors on the torus, and only the DCN axes cross pods."""
    if devices[0].platform != "tpu":
        return list(devices)
    from jax.experimental import mesh_utils

    inner = [1 if name in manifest.dcn_axes else size for name, size in manifest.axes]
    outer = [size if name in manifest.dcn_axes else 1 for name, size in manifest.axes]
    if prod(outer) > 1:
        return list(mesh_utils.create_hybrid_device_mesh(inner, outer, devices).flat)
    return list(mesh_utils.create_device_mesh(inner, devices).flat)
