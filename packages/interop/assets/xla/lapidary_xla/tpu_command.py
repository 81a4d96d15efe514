"""
Compiles a module of an export with Google's TPU compiler: `run.py --compile v5e`, and `lapidary compile`.

    compile/plan.json      the plan of Lapidary for each chip, and the labels of all locations
    cache/tpu/KEY.json     earlier results, by text, slice and version of the compiler; KEY-memory.json without cycles
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Mapping, Sequence

from . import environment
from .failures import DOES_NOT_FIT, USAGE, Failure, log, missing_file
from .tpu_compiler import SPACE_REMEDY, compiler_environment, not_written
from .tpu_report import make_report, report_text, shortage

# The files whose change makes earlier results invalid.
SOURCES = ("tpu_compiler.py", "tpu_program.py", "hlo_text.py", "mesh.py", "groups.py")


def read_bundle(directory: Path) -> dict:
    path = directory / "compile/plan.json"
    if not path.exists():
        raise missing_file(path, "the plan", "export the job again with this version of Lapidary")
    return json.loads(path.read_text())


def requirements_of(bundle: Mapping) -> list[str]:
    return [f"{name}=={version}" for name, version in bundle["packages"].items()]


def find_compiler(bundle: Mapping, remedy: str) -> Path:
    """The interpreter of the environment with the compiler. remedy: the command that installs it"""
    wanted = dict(bundle["packages"])
    python = environment.environment_directory(wanted) / "bin/python"
    problem = environment.problem_of(python, wanted)
    if problem is None:
        return python
    if not python.exists():
        raise Failure("LAP_TPU_NOT_INSTALLED", f"Google's TPU compiler (libtpu {wanted['libtpu']}) is not installed", f"{remedy}: it needs {environment.TPU_BYTES / 1e9:.1f} GB of disk; {environment.TPU_LICENCE}", str(python), USAGE)
    raise Failure("LAP_TPU_DAMAGED", f"the installation of Google's TPU compiler is damaged: {problem}", f"{remedy}: it replaces the installation", str(python), USAGE)


def compile_export(directory: Path, bundle: Mapping, *, chip: str, text: str, hlo: Path | None, memory: bool, python: Path) -> tuple[dict, dict | None]:
    """With `memory`, the compiler stops once it has assigned memory, and the report has no cycles. Returns the report, and what exceeds HBM if the program does not fit (`tpu_report.shortage`). With `hlo`, the module is compiled even if there is an earlier result, and the optimized program is written there."""
    topology, slices = f"{chip}:{bundle['slice']}", bundle["slices"]
    module = directory / bundle["modules"][text]["file"]
    key, kept_in = _key(bundle["packages"], topology, slices, module), environment.cache_directory() / "tpu"
    full, short = kept_in / f"{key}.json", kept_in / f"{key}-memory.json"
    result = None if hlo is not None else earlier_result(full) or (earlier_result(short) if memory else None)
    if result is None:
        options = ["--topology", topology, "--slices", str(slices), *([] if hlo is None else ["--hlo", hlo]), *(["--memory"] if memory else [])]
        result = _compiled([python, Path(__file__).with_name("tpu_compiler.py"), module, *options], f"{slices} x {topology}")
        keep_result(short if memory else full, result)
    return make_report(bundle, chip, text, result), shortage(bundle, chip, result)


def _compiled(command: Sequence[object], what: str) -> dict:
    try:
        draft = Path(tempfile.mkdtemp(prefix="lapidary-tpu-"))
    except OSError as cause:
        raise not_written(cause, tempfile.gettempdir()) from cause
    try:
        _run([*command, "--result", draft / "result.json"], what)
        return _result(draft / "result.json")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def earlier_result(kept: Path) -> dict | None:
    """A result from the cache. A damaged file counts as no result."""
    try:
        result = json.loads(kept.read_text())
    except (OSError, ValueError):
        return None
    log(f"compile: the result is from the cache ({kept})")
    return result


def keep_result(kept: Path, result: Mapping) -> None:
    """Writes a result to the cache. If the disk is full, the result is still reported."""
    partial = kept.with_name(f"{kept.name}.tmp-{os.getpid()}")
    try:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.write_text(json.dumps(result))
        partial.rename(kept)
    except OSError as cause:
        with contextlib.suppress(OSError):
            partial.unlink()
        log(f"compile: the result is not cached: {cause.strerror} ({kept.parent})")


def _key(packages: Mapping[str, str], topology: str, slices: int, path: Path) -> str:
    parts = [json.dumps(packages), topology, str(slices), *(Path(__file__).with_name(name).read_text() for name in SOURCES), path.read_text()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _result(path: Path) -> dict:
    result = json.loads(path.read_text())
    if "failure" in result:
        failure = result["failure"]
        raise Failure(failure["code"], failure["message"], failure["remedy"], failure["place"], failure["exit_code"])
    return result


def _run(command: Sequence[object], what: str) -> None:
    """Runs the compiler, and ends it if this process is interrupted."""
    start = shown = time.monotonic()
    log(f"compile: {what}")
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=compiler_environment(environment.clean_environment()))
    try:
        while True:
            try:
                _, errors = process.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() - shown > 15:
                    shown = time.monotonic()
                    log(f"compile: {what}: {shown - start:.0f} s")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise ended_with(process.returncode, errors)


def ended_with(code: int, errors: str) -> Failure:
    """The failure of a compiler that ended without a result. errors: what it printed"""
    tail = "\n".join(errors.strip().splitlines()[-3:])
    message = f"the TPU compiler ended with {code}: {tail}" if tail else f"the TPU compiler ended with {code}"
    if environment.FULL_DISK.search(errors):
        return Failure("LAP_XLA_SPACE", message, SPACE_REMEDY, tempfile.gettempdir())
    return Failure("LAP_TPU_COMPILE", message, "free memory of the machine and compile again; with little memory, compile a job with fewer layers", "libtpu")


def main(directory: Path, options: object) -> int:
    """`run.py --compile CHIP`"""
    bundle = read_bundle(directory)
    if options.install:
        log(f"Google's TPU compiler: {environment.TPU_LICENCE}")
        environment.provide(requirements_of(bundle))
    python = find_compiler(bundle, f"run `python run.py --compile {options.compile} --install`")
    report, short = compile_export(directory, bundle, chip=options.compile, text=options.text, hlo=options.hlo, memory=options.memory and options.hlo is None, python=python)
    print(json.dumps(report) if options.json else report_text(report, short))
    return 0 if report["fits"] else DOES_NOT_FIT
