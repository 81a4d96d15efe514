#!/usr/bin/env python3
"""
    python tpu_compiler.py step.mlir --topology v5e:16x16 --slices 2 --result FILE [--hlo FILE | --memory]

Compiles a module with Google's TPU compiler (libtpu) without a TPU. The result is a JSON file:

    {"compile_s", "memory": {"arguments", "outputs", "aliased", "temporary", "code"},      bytes of one chip
     "collectives": [{"op", "axes", "bytes", "runs"}], "cycles": [{"name", "cycles"}]}

With `--memory`, compilation stops once memory is assigned, before kernels are generated, which takes most of the time. Then `cycles` is absent.
If the program does not fit: {"compile_s", "does_not_fit": {"used", "limit", "buffers": [{"bytes", "name", "shape"}]}}.
If the compiler rejects it: {"failure": {"code", "message", "remedy", "place", "exit_code"}}.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

if __package__:
    from .failures import USAGE, Failure
else:
    # In place of the directory of this file, whose `numbers.py` would hide that of the standard library.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from lapidary_xla.failures import USAGE, Failure

UNITS = {"B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# Slices that Google Cloud offers. The compiler accepts more, and decides.
FLAT = ["1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"]
CUBES = ["2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16", "8x16x16", "16x16x16"]
SPACE_REMEDY = "free disk space, or point TMPDIR and LAPIDARY_CACHE to directories on a larger disk"
SLICES = {"v5e": FLAT, "v6e": FLAT, "v4": CUBES, "v5p": CUBES}


def topology_devices(name: str, slices: int) -> list:
    """The devices of a topology, such as `v5e:16x16`, which need not exist on this machine. One device is one chip."""
    from jax.experimental import topologies

    options = {"num_slices": slices} if slices > 1 else {}
    if name.startswith("v4:"):
        # The two cores of a chip are one device.
        options["chip_config_name"] = "megacore"
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=name, **options).devices
    except Exception as cause:  # noqa: BLE001: libtpu raises any exception
        raise Failure("LAP_TPU_TOPOLOGY", f"the TPU compiler does not know {_count(slices)} of {name}: {first_line(cause)}", remedy_for(name), name, USAGE) from cause


def _count(slices: int) -> str:
    return "1 slice" if slices == 1 else f"{slices} slices"


def remedy_for(name: str) -> str:
    """Names the chips, or the slices of the chip with the nearest numbers of chips."""
    chip, _, shape = name.partition(":")
    if chip not in SLICES:
        return f"choose --chip {', '.join(sorted(SLICES))}"
    wanted = _chips(shape)
    less = [slice for slice in SLICES[chip] if _chips(slice) <= wanted][-2:]
    more = [slice for slice in SLICES[chip] if _chips(slice) > wanted][:1]
    return f"the nearest slices of {chip} are {', '.join(less + more)}: set `slice` and `mesh` of the job for one of these"


def _chips(shape: str) -> int:
    count = 1
    for size in re.findall(r"\d+", shape):
        count *= int(size)
    return count


def compile_for(text: str, devices: list):
    """The compiled program of one chip. With several slices, device ids start at 100000; the assignment uses these ids."""
    import numpy as np
    from jax._src import compiler
    from jax._src.lib import xla_client
    from jax.extend.mlir import ir

    from lapidary_xla.engine import dialects

    with dialects():
        module = ir.Module.parse(text)
        ids = np.array([device.id for device in devices]).reshape(1, -1)
        client = devices[0].client
        options = compiler.get_compile_options(num_replicas=1, num_partitions=len(devices), device_assignment=ids, backend=client)
        options.executable_build_options.use_spmd_partitioning = True
        options.executable_build_options.use_shardy_partitioner = True
        return compiler.backend_compile_and_load(client, module, xla_client.DeviceList(tuple(devices)), options, [])


def does_not_fit(message: str) -> dict | None:
    """
    Parses the compiler's out-of-memory message in either form: `Used 20.01G of 15.75G hbm`, followed by the largest buffers with the names in the
    module; or `the total memory required for HLO temporaries (26.34G) exceeds available HBM (15.75G)`.
    """
    number = r"([\d.]+)([BKMGT]?)"
    found = re.search(rf"Used {number} of {number} hbm", message) or re.search(rf"required for [\w ]+ \({number}\) exceeds available HBM \({number}\)", message)
    if not found:
        return None
    buffers = [
        {"bytes": _size(part[1], part[2]), "name": _found(r'op_name="([^"]*)"', part[0]), "shape": _found(r"Shape: (\S+?)[{\s]", part[0])}
        for part in re.finditer(r"Size: ([\d.]+)([BKMGT]?)\b(?:(?!Size:)[\s\S])*", message)
    ]
    return {"used": _size(found[1], found[2]), "limit": _size(found[3], found[4]), "buffers": buffers}


def _size(number: str, unit: str) -> int:
    return round(float(number) * UNITS[unit or "B"])


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def first_line(cause: object) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:400]


def rejected(cause: Exception, path: str) -> Failure:
    """The failure of a module that the compiler rejects, with the names of our values that its message contains."""
    values = list(dict.fromkeys(re.findall(r"[\w.()/]+#\d+", str(cause))))[:5]
    at = f" at {', '.join(values)}" if values else ""
    return Failure("LAP_TPU_COMPILE", f"the TPU compiler rejects the program{at}: {first_line(cause)}", "compile the other module (`--text chip` or `whole`); if it rejects both, report it with the export", path)


def write_file(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as cause:
        raise not_written(cause, str(path)) from cause


def not_written(cause: OSError, path: str) -> Failure:
    return Failure("LAP_XLA_SPACE", f"{path} cannot be written: {cause.strerror}", SPACE_REMEDY, path)


def compile_module(path: Path, topology: str, slices: int, hlo_path: Path | None) -> dict:
    from lapidary_xla.mesh import Mesh
    from lapidary_xla.tpu_program import tpu_collectives, tpu_cycles

    text = path.read_text()
    mesh = Mesh.of_module(text)
    devices = topology_devices(topology, slices)
    if len(devices) != mesh.devices:
        raise Failure("LAP_TPU_TOPOLOGY", f"{_count(slices)} of {topology} have {len(devices)} chips, the program needs {mesh.devices}", remedy_for(topology), topology, USAGE)
    start = time.monotonic()
    try:
        executable = compile_for(text, devices)
    except Exception as cause:  # noqa: BLE001
        short = does_not_fit(str(cause))
        if short is None:
            raise rejected(cause, str(path)) from cause
        return {"compile_s": time.monotonic() - start, "does_not_fit": short}
    compile_s = time.monotonic() - start
    stats = executable.get_compiled_memory_stats()
    hlo = executable.hlo_modules()[0].to_string()
    if hlo_path is not None:
        write_file(hlo_path, hlo)
    return {
        "compile_s": compile_s,
        "memory": {
            "arguments": stats.argument_size_in_bytes,
            "outputs": stats.output_size_in_bytes,
            "aliased": stats.alias_size_in_bytes,
            "temporary": stats.temp_size_in_bytes,
            "code": stats.generated_code_size_in_bytes,
        },
        "collectives": tpu_collectives(hlo, mesh, slices),
        "cycles": tpu_cycles(hlo),
    }


def stop_after_assignment(options: argparse.Namespace) -> None:
    """
    Makes the compiler write its assignment of memory, and ends this process once it is written. Call it before the compiler is loaded. If the program does
    not fit, or is rejected, the compiler ends first.
    """
    directory = Path(tempfile.mkdtemp(prefix="lapidary-tpu-memory-", dir=options.result.parent))
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_dump_to={directory} --xla_dump_hlo_as_text".strip()
    threading.Thread(target=_await_assignment, args=(options, directory, time.monotonic()), daemon=True).start()


def _await_assignment(options: argparse.Namespace, directory: Path, start: float) -> None:
    while True:
        time.sleep(0.2)
        # The compiler writes the program after the assignment.
        program = _dumped(directory, "after_optimizations_after_buffer_assignment.txt")
        if program is not None and program.endswith("}"):
            break
    from lapidary_xla.mesh import Mesh
    from lapidary_xla.tpu_program import tpu_collectives, tpu_memory

    assignment = _dumped(directory, "after_optimizations-buffer-assignment.txt")
    assert assignment is not None
    collectives = tpu_collectives(program, Mesh.of_module(options.module.read_text()), options.slices)
    result = {"compile_s": time.monotonic() - start, "memory": {**tpu_memory(assignment), "code": 0}, "collectives": collectives}
    shutil.rmtree(directory, ignore_errors=True)
    end_with(options.result, result)


def _dumped(directory: Path, suffix: str) -> str | None:
    for path in directory.glob(f"*train_step*.{suffix}"):
        return path.read_text().rstrip()
    return None


def end_with(path: Path, result: dict) -> None:
    """Writes the result and ends the process. Threads of libtpu may hang at an ordinary exit."""
    draft = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    draft.write_text(json.dumps(result))
    draft.rename(path)
    sys.stderr.flush()
    os._exit(0)


def compiler_environment(given: dict[str, str]) -> dict[str, str]:
    return {
        **given,
        "TPU_SKIP_MDS_QUERY": "1",  # do not query the metadata server, which only a cloud machine has
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # without a TPU, several processes may compile at the same time
        "JAX_PLATFORMS": "cpu",
        "TPU_WORKER_HOSTNAMES": given.get("TPU_WORKER_HOSTNAMES", "localhost"),
        "TF_CPP_MIN_LOG_LEVEL": given.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="tpu_compiler.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path)
    parser.add_argument("--topology", required=True)
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--hlo", type=Path)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    os.environ.update(compiler_environment(dict(os.environ)))
    if options.memory:
        stop_after_assignment(options)
    try:
        result = compile_module(options.module, options.topology, options.slices, options.hlo)
    except Failure as failure:
        result = {"failure": failure.fields()}
    if options.memory and "memory" in result:
        # The thread that awaits the assignment has it too, and ends this process.
        threading.Event().wait()
    end_with(options.result, result)


if __name__ == "__main__":
    main()
