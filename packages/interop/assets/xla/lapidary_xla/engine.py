"""
Compiles StableHLO text with XLA, without tracing. This file contains every use of jaxlib's private, unstable interface
(`Client.compile_and_load`, `LoadedExecutable`, `CompileOptions`, `disassemble_into_single_device_arrays`, and the barrier of JAX's
coordination service). Its version is pinned for this reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

import jax
import numpy as np
from jax.extend import backend as jax_backend
from jax.extend.lowering import JaxIrContext, upstream_dialects
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import chlo, sdy, stablehlo

from .failures import USAGE, Failure


def dialects() -> ir.Context:
    """A context with the dialects StableHLO, CHLO and Shardy."""
    context = JaxIrContext()
    context.append_dialect_registry(upstream_dialects)
    context.load_all_available_dialects()
    stablehlo.register_dialect(context)
    chlo.register_dialect(context)
    sdy.register_dialect(context)
    return context


@dataclass(frozen=True)
class Signature:
    """Types of the main function, such as `tensor<4x8xf32>`."""

    arguments: list[str]
    results: list[str]


def verify_text(text: str, place: str) -> Signature:
    """Parses a module and verifies it with its dialects; nothing is compiled."""
    with dialects():
        try:
            module = ir.Module.parse(text)
            module.operation.verify()
        except ir.MLIRError as cause:
            raise Failure("LAP_XLA_TEXT", f"the module does not verify: {str(cause)[:2000]}", "export the job again; an edited module must be valid StableHLO and Shardy", place, USAGE) from cause
        main = next(op for op in module.body.operations if op.operation.name == "func.func" and op.name.value == "main")
        return Signature([str(kind) for kind in main.type.inputs], [str(kind) for kind in main.type.results])


@dataclass(frozen=True)
class Executable:
    loaded: Any
    devices: list[jax.Device]

    def run(self, arguments: Sequence[jax.Array]) -> list[list[jax.Array]]:
        """Returns, for each result, one array per device of this process. Donated arguments are deleted. Call `check` first."""
        return self.loaded.execute_sharded(list(arguments)).disassemble_into_single_device_arrays()

    def check(self, arguments: Sequence[jax.Array], names: Sequence[str]) -> None:
        """Checks the shards of all arguments. XLA does not check them, and would read beyond a shard that is too small."""
        shardings = self.loaded.get_parameter_shardings()
        for i, (argument, name) in enumerate(zip(arguments, names, strict=True)):
            order = list(argument.sharding._device_assignment)
            if order != self.devices:
                raise Failure("LAP_XLA_SHARDS", f"{name} and the program are on different devices", "report this bug of the runner", name)
            if shardings is None:
                continue
            expected = jax_sharding(shardings[i])
            actual = argument.sharding._to_xla_hlo_sharding(argument.ndim)
            if expected != actual:
                raise Failure("LAP_XLA_SHARDS", f"{name} is sharded as {actual}, the program expects {expected}", "export the job again: module and manifest do not belong together", name)

    def hlo(self) -> str:
        """The optimized program of one device."""
        return self.loaded.hlo_modules()[0].to_string()

    def memory(self) -> dict[str, int]:
        """XLA's plan for one device, in bytes."""
        stats = self.loaded.get_compiled_memory_stats()
        return {
            "arguments": stats.argument_size_in_bytes,
            "outputs": stats.output_size_in_bytes,
            "aliased": stats.alias_size_in_bytes,
            "temporary": stats.temp_size_in_bytes,
            "code": stats.generated_code_size_in_bytes,
        }


def jax_sharding(proto: Any) -> Any:
    from jaxlib import xla_client

    return xla_client.HloSharding.from_proto(proto)


def barrier(name: str, timeout_s: int = 3600) -> None:
    """Waits for all processes, through the coordination service and without a collective over all devices."""
    from jax._src import distributed

    distributed.global_state.client.wait_at_barrier(name, timeout_s * 1000)


def compile_text(text: str, devices: Sequence[jax.Device], overrides: Mapping[str, Any] | None = None) -> Executable:
    """
    Compiles a module for the devices, numbered in the order of the list.

    overrides: XLA's debug options by name
    """
    assert re.search(rf"mhlo.num_partitions = {len(devices)} :", text), "the module is partitioned for this number of devices"
    client = jax_backend.get_backend()
    options = jax_backend.get_compile_options(
        num_replicas=1,
        num_partitions=len(devices),
        device_assignment=np.array([device.id for device in devices]).reshape(1, len(devices)),
        env_options_overrides=dict(overrides or {}),
    )
    build = options.executable_build_options
    build.use_spmd_partitioning = True
    build.use_shardy_partitioner = True
    return Executable(client.compile_and_load(text, list(devices), options), list(devices))
