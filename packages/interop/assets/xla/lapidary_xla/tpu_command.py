"""
Compiles the modules of an export with Google's TPU compiler: `run.py --compile v5e`, and `lapidary compile`.

    compile/plan.json                        the plan of Lapidary for each chip, and the modules for small numbers of layers
    compile/whole-2.mlir, whole-4.mlir       the same step with fewer layers
    cache/tpu/KEY.json                       earlier results, by text, slice and version of the compiler
"""

from __future__ import annotations

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
from .tpu_compiler import compiler_environment
from .tpu_report import make_report, report_text

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


def compile_export(directory: Path, bundle: Mapping, *, chip: str, text: str, hlo: Path | None, python: Path) -> tuple[dict, Sequence[Mapping]]:
    """Returns the report, and the modules that it is from. With `hlo`, every layer is compiled and the optimized program is written there."""
    known = bundle["modules"][text]
    modules = known[-1:] if hlo is not None or len(known) < 3 else known[:-1]
    results = _compile_all(directory, bundle, modules, chip, hlo, python)
    return make_report(bundle, chip, text, modules, results), modules


def _compile_all(directory: Path, bundle: Mapping, modules: Sequence[Mapping], chip: str, hlo: Path | None, python: Path) -> list[dict]:
    topology = f"{chip}:{bundle['slice']}"
    cache = environment.cache_directory() / "tpu"
    texts = [(directory / module["file"]) for module in modules]
    keys = [_key(bundle["packages"], topology, bundle["slices"], path) for path in texts]
    kept = {key: cache / f"{key}.json" for key in keys}
    missing = [(key, path) for key, path in zip(keys, texts) if hlo is not None or not kept[key].exists()]
    if len(missing) < len(keys):
        log(f"compile: {len(keys) - len(missing)} of {len(keys)} results are from the cache")
    results = {key: json.loads(kept[key].read_text()) for key in keys if key not in dict(missing)}
    draft = Path(tempfile.mkdtemp(prefix="lapidary-tpu-"))
    try:
        commands = []
        # The largest module first, because it takes longest.
        for key, path in reversed(missing):
            options = ["--topology", topology, "--slices", str(bundle["slices"]), "--result", draft / key, *([] if hlo is None else ["--hlo", hlo])]
            commands.append([python, Path(__file__).with_name("tpu_compiler.py"), path, *options])
        layers = " and ".join(str(module["layers"]) for module in modules)
        _run_all(commands, f"{layers} of {bundle['layers']} layers for {bundle['slices']} x {topology}" if len(modules) > 1 else f"{bundle['slices']} x {topology}")
        for key, _ in missing:
            results[key] = _result(draft / key)
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = cache / f"{key}.tmp-{os.getpid()}"
            partial.write_text(json.dumps(results[key]))
            partial.rename(kept[key])
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [results[key] for key in keys]


def _key(packages: Mapping[str, str], topology: str, slices: int, path: Path) -> str:
    parts = [json.dumps(packages), topology, str(slices), *(Path(__file__).with_name(name).read_text() for name in SOURCES), path.read_text()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _result(path: Path) -> dict:
    result = json.loads(path.read_text())
    if "failure" in result:
        failure = result["failure"]
        raise Failure(failure["code"], failure["message"], failure["remedy"], failure["place"], failure["exit_code"])
    return result


def _run_all(commands: Sequence[Sequence[object]], what: str) -> None:
    """Runs the compilers, as many at a time as there are cores, and ends them if this process is interrupted."""
    waiting, running = list(commands), []
    start = shown = time.monotonic()
    if waiting:
        log(f"compile: {what}")
    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                command = list(map(str, waiting.pop(0)))
                running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=compiler_environment(environment.clean_environment())))
            try:
                _, errors = running[0].communicate(timeout=1)
            except subprocess.TimeoutExpired:
                if time.monotonic() - shown > (1 if sys.stderr.isatty() else 15):
                    shown = time.monotonic()
                    log(f"compile: {what}: {shown - start:.0f} s")
                continue
            ended = running.pop(0)
            if ended.returncode != 0:
                tail = "\n".join(errors.strip().splitlines()[-3:])
                raise Failure("LAP_TPU_COMPILE", f"the TPU compiler ended with {ended.returncode}: {tail}", "free memory of the machine and compile again; with little memory, compile a job with fewer layers", "libtpu")
    finally:
        for process in running:
            process.kill()
            process.wait()


def main(directory: Path, options: object) -> int:
    """`run.py --compile CHIP`"""
    bundle = read_bundle(directory)
    if options.install:
        log(f"Google's TPU compiler: {environment.TPU_LICENCE}")
        environment.provide(requirements_of(bundle))
    python = find_compiler(bundle, f"run `python run.py --compile {options.compile} --install`")
    report, modules = compile_export(directory, bundle, chip=options.compile, text=options.text, hlo=options.hlo, python=python)
    print(json.dumps(report) if options.json else report_text(report, modules, bundle["layers"]))
    return 0 if report["fits"] else DOES_NOT_FIT
